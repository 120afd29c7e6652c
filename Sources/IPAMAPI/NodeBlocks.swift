package import IPAddressing
import JSONText

/// How a pool is sliced into blocks, each of which is one node's.
package struct NodeBlocks: Hashable, Sendable {
    /// Which prefix the results have.
    package enum ResultPrefix: String, Hashable, Sendable, CaseIterable {
        case block = "Block"
        case subnet = "Subnet"
    }

    /// Which gateway the results have.
    package enum Gateway: String, Hashable, Sendable, CaseIterable {
        /// The pool's, if any.
        case none = "None"
        /// The first host address of the block, which is never allocated.
        case firstAddress = "FirstAddress"
    }

    package var prefixLength: Int
    package var resultPrefix: ResultPrefix
    package var gateway: Gateway
    /// While no block is free, single addresses of others' blocks may be used.
    package var borrowing: Bool

    package init(
        prefixLength: Int, resultPrefix: ResultPrefix = .subnet, gateway: Gateway = .none, borrowing: Bool = false
    ) {
        self.prefixLength = prefixLength
        self.resultPrefix = resultPrefix
        self.gateway = gateway
        self.borrowing = borrowing
    }

    init(_ fields: JSONFields) throws(JSONDecodingError) {
        guard let length = try fields.int("prefixLength") else { throw fields.error("prefixLength", "missing") }
        prefixLength = length
        resultPrefix = try fields.choice("resultPrefix") ?? .subnet
        gateway = try fields.choice("gateway") ?? .none
        borrowing = try fields.bool("borrowing") ?? false
    }

    var json: JSON {
        [
            "prefixLength": .int(prefixLength), "resultPrefix": .string(resultPrefix.rawValue),
            "gateway": .string(gateway.rawValue), "borrowing": .bool(borrowing),
        ]
    }

    /// What is wrong with it in a pool.
    func check(subnet: IPPrefix, gateway poolGateway: IPAddress?, routes: [Route]) throws(PoolProblem) {
        let field = "spec.nodeBlocks"
        guard prefixLength > subnet.length, prefixLength <= subnet.family.bitWidth else {
            throw PoolProblem(
                field: "\(field).prefixLength",
                message: "\(prefixLength) is not longer than the subnet's /\(subnet.length) and at most"
                    + " \(subnet.family.bitWidth)")
        }
        if borrowing, resultPrefix == .block || gateway == .firstAddress {
            throw PoolProblem(
                field: "\(field).borrowing",
                message: "true needs resultPrefix Subnet and gateway None: a single address of another node's block has"
                    + " neither the prefix nor the gateway of an own one")
        }
        if gateway == .firstAddress, prefixLength == subnet.family.bitWidth {
            throw PoolProblem(
                field: "\(field).gateway", message: "FirstAddress leaves nothing of a block of one address")
        }
        if let poolGateway, gateway == .firstAddress || resultPrefix == .block {
            throw PoolProblem(
                field: "spec.gateway",
                message: "\"\(poolGateway)\" cannot be the gateway of every block: with"
                    + " nodeBlocks.\(gateway == .firstAddress ? "gateway FirstAddress" : "resultPrefix Block") leave it out"
            )
        }
        if resultPrefix == .block,
            let index = routes.firstIndex(where: { $0.gw.map { !$0.isLinkLocalIPv6 } ?? false })
        {
            throw PoolProblem(
                field: "spec.routes[\(index)].gw",
                message: "with nodeBlocks.resultPrefix Block a next hop is not on-link in every block; leave it out")
        }
    }
}

// MARK: - Blocks of a pool

extension ValidatedPool {
    /// What of a sliced pool one node uses.
    package struct Slice: Hashable, Sendable {
        /// The names of its blocks; empty for addresses that are borrowed, and where the node has none.
        package var blocks: [String]
        /// Where what the node holds counts as the slice's.
        package var prefixes: [IPPrefix]
        package var prefixLength: Int
        /// How many blocks the pool has.
        package var total: UInt128
        /// Whether no block was free when the node wanted another one.
        package var isLast: Bool

        /// Another one for other blocks, fit for the name of a file.
        package var key: String { SHA256.hex(of: blocks + prefixes.map { "\($0)" }, digits: 16) }
    }

    /// Whether the pool, or the slice of it, has an address that somebody holds.
    package func spans(_ address: IPAddress) -> Bool {
        guard let slice else { return subnet.contains(address) }
        return slice.prefixes.contains { $0.contains(address) }
    }

    /// The router of a block, which is its first host address; nil where blocks have none.
    package func gateway(ofBlock cidr: IPPrefix) -> IPAddress? {
        nodeBlocks?.gateway == .firstAddress ? usableAddresses(subnet: cidr).first : nil
    }

    /// What can be allocated of a block.
    func addresses(ofBlock cidr: IPPrefix, of set: IPSet) -> IPSet {
        let isSubnet = nodeBlocks?.resultPrefix == .block
        let block =
            isSubnet
            ? usableAddresses(subnet: cidr, gateway: gateway(ofBlock: cidr))
            : gateway(ofBlock: cidr).map { IPSet(cidr.range).subtracting(IPRange($0)) } ?? IPSet(cidr.range)
        return set.intersection(block)
    }

    /// The block of an address that the block never gives, for it is its router, network or broadcast address; nil where
    /// it would, and where the pool has no blocks.
    ///
    /// - Parameter blocks: Those that are there: what is made by hand may be of any length.
    package func blockLacking(_ address: IPAddress, _ blocks: [ValidatedBlock]) -> IPPrefix? {
        guard let length = nodeBlocks?.prefixLength else { return nil }
        let present = blocks.first { $0.isPart(of: self) && $0.cidr.contains(address) }
        guard let cidr = present?.cidr ?? IPPrefix(address: address, length: length) else { return nil }
        return addresses(ofBlock: cidr, of: IPSet(family: family, ranges: [IPRange(address)])).isEmpty ? cidr : nil
    }

    /// Whether a block of the pool would have an address to give.
    package func isUseful(_ cidr: IPPrefix) -> Bool { !addresses(ofBlock: cidr, of: usable).isEmpty }

    /// How many blocks the pool has.
    package var blockCount: UInt128 { blockNumbers(of: configured).count }

    /// The numbers of the blocks that have something to give and share no address with these prefixes; written as
    /// addresses, whose value is the number.
    package func freeBlocks(besides taken: [IPPrefix]) -> IPSet {
        let ranges = taken.filter { $0.family == family && $0.overlaps(subnet) }.map(\.range)
        return blockNumbers(of: usable).subtracting(blockNumbers(of: IPSet(family: family, ranges: ranges)))
    }

    /// The block of a number.
    package func block(at number: IPAddress) -> IPPrefix? {
        guard let length = nodeBlocks?.prefixLength else { return nil }
        return IPAddress(family: family, value: number.value << (family.bitWidth - length)).flatMap {
            IPPrefix(address: $0, length: length)
        }
    }

    private func blockNumbers(of set: IPSet) -> IPSet {
        guard let length = nodeBlocks?.prefixLength else { return IPSet(family: family) }
        let shift = family.bitWidth - length
        return IPSet(
            family: family,
            ranges: set.ranges.compactMap { range in
                guard let lower = IPAddress(family: family, value: range.lower.value >> shift),
                    let upper = IPAddress(family: family, value: range.upper.value >> shift)
                else { return nil }
                return IPRange(lower: lower, upper: upper)
            })
    }

    /// The pool as a node with these blocks may use it: alternatives in their order.
    ///
    /// One for each block where results differ from block to block, otherwise one for all. Without a block it is one
    /// that has nothing to give.
    ///
    /// - Parameter isLast: Whether no other block is free; with borrowing an alternative follows with all that is not the
    ///   node's.
    package func narrowed(to blocks: [ValidatedBlock], isLast: Bool) -> [ValidatedPool] {
        guard let nodeBlocks else { return [self] }
        let differ = nodeBlocks.resultPrefix == .block || nodeBlocks.gateway == .firstAddress
        let groups = differ && !blocks.isEmpty ? blocks.map { [$0] } : [blocks]
        var narrowed = groups.map { group in
            var set = IPSet(family: family)
            for block in group { set.insert(addresses(ofBlock: block.cidr, of: usable)) }
            var pool = cut(set, group, isLast: isLast)
            if let block = group.first, differ {
                if nodeBlocks.resultPrefix == .block { pool.subnet = block.cidr }
                pool.gateway = gateway(ofBlock: block.cidr)
            }
            return pool
        }
        if isLast, nodeBlocks.borrowing {
            let own = IPSet(family: family, ranges: blocks.map(\.cidr.range))
            var pool = cut(usable.subtracting(own), [], isLast: true)
            pool.slice?.prefixes = [subnet]
            narrowed.append(pool)
        }
        return narrowed
    }

    private func cut(_ set: IPSet, _ blocks: [ValidatedBlock], isLast: Bool) -> ValidatedPool {
        var pool = self
        pool.usable = set
        pool.slice = Slice(
            blocks: blocks.map(\.name), prefixes: blocks.map(\.cidr), prefixLength: nodeBlocks?.prefixLength ?? 0,
            total: blockCount, isLast: isLast)
        // Outside of its window a hint says nothing, and it must not look as though all were taken.
        if let hint = occupancy {
            let isCovered = [set.first, set.last].allSatisfy { $0.map { hint.index(of: $0) != nil } ?? true }
            if !isCovered { pool.occupancy = nil }
        }
        return pool
    }
}
