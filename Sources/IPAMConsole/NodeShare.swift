package import IPAMAPI
import IPAMEngine
package import IPAddressing
package import JSONText
import KubernetesCore

/// What one node has of a pool that is sliced into blocks, and what it would do for more.
package struct NodeShare: Hashable, Sendable {
    /// A block of the node.
    package struct Block: Hashable, Sendable {
        package var name: String
        package var cidr: IPPrefix
        package var state: BlockState
        package var isByHand: Bool
        /// Addresses of it that an allocation of any pool takes.
        package var used: Int
        package var capacity: UInt128
        /// Another block that shares addresses with it; nil where there is none.
        package var overlap: String?
        /// That one was there before, so that nodes give nothing of this block.
        package var isLeftOut: Bool
    }

    /// What a claim does that finds nothing in the node's own blocks.
    package enum Next: Hashable, Sendable {
        /// It makes a block of the node Active again that was on its way back.
        case takeBack(String)
        /// It claims one of those that are free.
        case claim
        /// It takes single addresses of other nodes' blocks, for no block is free.
        case borrow
        /// It gets nothing of this pool.
        case nothing
        /// It fails, for a block of the node is left out: ``NodeShare/conflict``.
        case refuse

        var isAnotherBlock: Bool {
            switch self {
            case .takeBack, .claim: true
            case .borrow, .nothing, .refuse: false
            }
        }
    }

    package let node: String
    /// In the order in which they are used.
    package let blocks: [Block]
    package let free: UInt128
    package let total: UInt128
    package let prefixLength: Int
    package let allowsBorrowing: Bool
    package let next: Next
    /// Which block of the node is left out, for it overlaps an older one: a sentence. Whoever must claim another block of
    /// the pool fails with it. Nil where there is none.
    package let conflict: String?
    /// The pool as the node may use it now.
    let own: [ValidatedPool]
    /// What comes when that has nothing; empty where nothing does.
    let more: [ValidatedPool]
    /// Whether some address can be had of its own blocks, as long as it is free.
    var isUsable: Bool { own.contains { !$0.usable.isEmpty } }

    /// - Parameters:
    ///   - pool: Sliced.
    ///   - every: Every block there is.
    ///   - machineID: Nil where the node does not say.
    ///   - taken: What is taken in the pool's network.
    init(
        _ pool: ValidatedPool, _ every: [ValidatedBlock], node: String, machineID: String?,
        taken: [IPAddress: AllocationState?], using generator: inout some RandomNumberGenerator
    ) {
        let near = every.filter { $0.spec.network == pool.network }
        let ours = near.filter { block in
            block.isPart(of: pool) && block.belongs(toNode: node, machineID: machineID ?? block.spec.machineID)
        }.sorted {
            ($1.metadata.creationTimestamp ?? "", $0.cidr.address)
                < ($0.metadata.creationTimestamp ?? "", $1.cidr.address)
        }
        let overlaps = ours.map { block in
            near.filter { $0.name != block.name && $0.overlaps(block) }.min { $0.age < $1.age }
        }
        let leftOut = Dictionary(
            uniqueKeysWithValues: zip(ours, overlaps).compactMap { block, other in
                other.flatMap { $0.age < block.age ? (block.name, $0) : nil }
            })
        let fit = ours.filter { leftOut[$0.name] == nil }
        let active = fit.filter { $0.spec.state == .active }
        let resting = fit.first { $0.spec.state == .releasing && pool.isUseful($0.cidr) }
        let numbers = pool.freeBlocks(besides: near.map(\.cidr))
        self.node = node
        free = numbers.count
        total = pool.blockCount
        prefixLength = pool.nodeBlocks?.prefixLength ?? 0
        allowsBorrowing = pool.nodeBlocks?.borrowing ?? false
        own = pool.narrowed(to: active, isLast: false)
        blocks = zip(ours, overlaps).map { block, other in
            Block(
                name: block.name, cidr: block.cidr, state: block.spec.state, isByHand: block.spec.machineID.isEmpty,
                used: taken.keys.count { block.cidr.contains($0) },
                capacity: pool.narrowed(to: [block], isLast: false).first?.usable.count ?? 0,
                overlap: other?.reference, isLeftOut: leftOut[block.name] != nil)
        }
        conflict = ours.last { leftOut[$0.name] != nil }.flatMap { block in
            leftOut[block.name].map { "\(block.reference) overlaps \($0.reference): delete one of them" }
        }
        let number = pool.strategy == .sequential ? numbers.first : numbers.randomElement(using: &generator)
        if conflict != nil {
            next = .refuse
            more = []
        } else if let resting {
            next = .takeBack(resting.name)
            more = pool.narrowed(to: [resting], isLast: false)
        } else if let cidr = number.flatMap({ pool.block(at: $0) }) {
            next = .claim
            let block = ValidatedBlock(cidr, of: pool, node: node, machineID: machineID ?? "")
            more = pool.narrowed(to: [block], isLast: false)
        } else if allowsBorrowing {
            next = .borrow
            // The last alternative is what is not the node's.
            more = pool.narrowed(to: active, isLast: true).suffix(1).map(\.self)
        } else {
            next = .nothing
            more = []
        }
    }

    /// What is said of the node's own blocks where they give an address, or do not.
    var subject: String {
        if blocks.isEmpty { return "node \"\(node)\" has no block" }
        return isUsable ? "this node's blocks are full" : "this node's blocks are not in use"
    }

    /// What the next claim does that finds nothing, in a sentence.
    package var nextText: String {
        let size = "/\(prefixLength)"
        return switch next {
        case .takeBack(let name): "takes back its block \(name), which is on its way to the pool"
        case .claim: "claims one of the \(free) blocks of \(size) that are free, of \(total)"
        case .borrow: "borrows addresses of other nodes' blocks, for none of \(total) blocks of \(size) is free"
        case .nothing: "gets nothing: none of \(total) blocks of \(size) is free"
        case .refuse: "claims no other one: \(conflict ?? "one of its blocks overlaps another one")"
        }
    }

    /// Lines about the node's share, without an indent.
    var lines: [String] {
        isUsable ? blockLines + ["when they are full the node \(nextText)"] : blockLines
    }

    /// Lines about its blocks alone.
    var blockLines: [String] {
        let width = blocks.map { "\($0.cidr)".count }.max() ?? 0
        return blocks.map { block in
            let cidr = "\(block.cidr)"
            let hand = block.isByHand ? ", by hand" : ""
            let overlap = block.overlap.map { other in
                block.isLeftOut
                    ? "; not used, for it overlaps \(other), which is older: delete one of them"
                    : "; overlaps \(other): delete one of them"
            }
            return "block \(cidr)\(String(repeating: " ", count: width - cidr.count))   \(block.state.rawValue)\(hand),"
                + " \(block.used) of \(block.capacity) used\(overlap ?? "")"
        }
    }

    package var json: JSON {
        let nextName =
            switch next {
            case .takeBack: "TakeBack"
            case .claim: "Claim"
            case .borrow: "Borrow"
            case .nothing: "Nothing"
            case .refuse: "Refuse"
            }
        var json: JSON = [
            "node": .string(node),
            "blocks": .array(
                blocks.map { block in
                    var json: JSON = [
                        "name": .string(block.name), "cidr": .string("\(block.cidr)"),
                        "state": .string(block.state.rawValue), "byHand": .bool(block.isByHand),
                        "used": .int(block.used), "capacity": .int(block.capacity), "leftOut": .bool(block.isLeftOut),
                    ]
                    json["overlaps"] = block.overlap.map { .string($0) }
                    return json
                }),
            "free": .int(free), "total": .int(total), "borrowing": .bool(allowsBorrowing), "next": .string(nextName),
        ]
        json["conflict"] = conflict.map { .string($0) }
        return json
    }
}

extension ValidatedBlock {
    /// Of two blocks the lesser one was there first.
    fileprivate var age: (String, String) { (metadata.creationTimestamp ?? "", name) }
}
