package import IPAMAPI
import IPAMEngine
package import IPAddressing
package import JSONText
import KubernetesCore

/// What `wait` waits for.
package enum WaitCondition: Hashable, Sendable, CustomStringConvertible {
    /// At least so many addresses of the pool are free.
    case free(UInt128)
    /// The pool's condition of a type has a status.
    case condition(String, Condition.Status)
    /// The object is gone.
    case gone
    /// The allocation is in a state.
    case state(AllocationState)

    /// Reads `free=N`, `condition=TYPE`, `condition=TYPE=STATUS`, `gone` or `delete`, `state=STATE`.
    package init(_ text: String) throws(ConsoleError) {
        let parts = text.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
        switch (parts[0].lowercased(), parts.count) {
        case ("gone", 1), ("delete", 1): self = .gone
        case ("free", 2):
            guard let count = UInt128(parts[1]) else {
                throw ConsoleError("--for=\(text): \"\(parts[1])\" is not a number of addresses")
            }
            self = .free(count)
        case ("condition", 2): self = .condition(parts[1], .true)
        case ("condition", 3):
            guard
                let status = Condition.Status.allCases.first(where: {
                    $0.rawValue.lowercased() == parts[2].lowercased()
                })
            else { throw ConsoleError("--for=\(text): \"\(parts[2])\" is none of True, False, Unknown") }
            self = .condition(parts[1], status)
        case ("state", 2):
            guard
                let state = AllocationState.allCases.first(where: { $0.rawValue.lowercased() == parts[1].lowercased() })
            else {
                let known = AllocationState.allCases.map(\.rawValue).joined(separator: ", ")
                throw ConsoleError("--for=\(text): \"\(parts[1])\" is none of \(known)")
            }
            self = .state(state)
        default:
            throw ConsoleError(
                "--for=\(text) is not understood",
                remedy: "write free=N, condition=Ready, condition=Exhausted=False, state=Bound or gone")
        }
    }

    package var isOfPools: Bool {
        switch self {
        case .free, .condition, .gone: true
        case .state: false
        }
    }

    package var isOfAllocations: Bool {
        switch self {
        case .state, .gone: true
        case .free, .condition: false
        }
    }

    package var description: String {
        switch self {
        case .free(let count): "free=\(count)"
        case .condition(let type, let status): "condition=\(type)=\(status.rawValue)"
        case .gone: "gone"
        case .state(let state): "state=\(state.rawValue)"
        }
    }

    package enum Outcome: Hashable, Sendable {
        case met
        /// How it is now.
        case notYet(String)
    }

    /// - Parameter json: The object as it was read; nil when it is proven not to be there.
    package func judge(_ json: JSON?) -> Outcome {
        guard let json else { return self == .gone ? .met : .notYet("it does not exist") }
        switch self {
        case .gone: return .notYet("it exists")
        case .state(let wanted):
            let state = json["spec"]?["state"]?.string ?? ""
            return state == wanted.rawValue ? .met : .notYet("its state is \(state)")
        case .free(let wanted):
            guard let pool = (try? PoolEntry(json))?.valid, let figures = PoolFigures(statusOf: pool) else {
                return .notYet("it has no status of its present generation")
            }
            return figures.free >= wanted ? .met : .notYet("\(figures.free) addresses are free")
        case .condition(let type, let wanted):
            let pool = (try? PoolEntry(json))?.pool
            let isCurrent = pool?.status?.observedGeneration == pool?.metadata.generation
            guard isCurrent,
                let condition = pool?.status?.conditions.first(where: { $0.type.lowercased() == type.lowercased() })
            else { return .notYet("it has no condition \(type) of its present generation") }
            return condition.status == wanted
                ? .met : .notYet("\(condition.type) is \(condition.status.rawValue): \(condition.message)")
        }
    }
}

/// What is waited for.
package enum WaitTarget: Hashable, Sendable, CustomStringConvertible {
    case pool(String)
    case allocation(AllocationName)
    /// In whichever network.
    case address(IPAddress)

    /// An address, `NETWORK/ADDRESS`, the name of an allocation or, anything else, of a pool; `ippool/NAME` and
    /// `ipallocation/NAME` say which.
    package init(_ text: String) throws(ConsoleError) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if parts.count == 2,
            ["ippool", "ippools", "ipp", "ippool.ipam.berth.dev", "ippools.ipam.berth.dev"].contains(parts[0])
        {
            self = .pool(parts[1])
            return
        }
        switch try HolderQuery(text, namespace: "") {
        case .address(let address): self = .address(address)
        case .allocation(let allocation): self = .allocation(allocation)
        case .name: self = .pool(text)
        case .pod, .node, .claim: throw ConsoleError("\"\(text)\" is neither a pool nor an address")
        }
    }

    package var isPool: Bool { if case .pool = self { true } else { false } }

    /// Of the object; of an address in whichever network that in the default one.
    package var name: String {
        switch self {
        case .pool(let name): name
        case .allocation(let name): name.objectName
        case .address(let address): address.objectName
        }
    }

    package var description: String { isPool ? "IPPool \(name)" : "allocation \(name)" }
}

extension WaitCondition {
    /// Judges an address by what every network has of it. Gone it is when nobody has it in any.
    ///
    /// - Parameter found: The allocations that are there.
    /// - Returns: With the one that the answer is about; nil where there is none.
    /// - Throws: When several networks have it, and one of them is to be in a state.
    package func judge(
        _ address: IPAddress, _ found: [(name: AllocationName, json: JSON)]
    ) throws(ConsoleError) -> (outcome: Outcome, of: AllocationName?) {
        guard let first = found.first else { return (judge(nil), nil) }
        let names = found.map(\.name.objectName)
        if self == .gone {
            let subject = names.joined(separator: ", ")
            return (.notYet(names.count == 1 ? "\(subject) exists" : "\(subject) exist"), first.name)
        }
        guard found.count == 1 else {
            throw ConsoleError(
                "\(address) is in more than one network",
                remedy: "name one: ipallocation/"
                    + names.joined(separator: ", ipallocation/"))
        }
        return (judge(first.json), first.name)
    }
}

extension ClusterReader {
    /// What there is of a target now, and how it is: by reads of the single objects.
    ///
    /// - Returns: With the object that the answer is about, where that is more than the target says.
    package func judge(
        _ target: WaitTarget, _ condition: WaitCondition
    ) throws -> (outcome: WaitCondition.Outcome, of: WaitTarget) {
        switch target {
        case .pool(let name): return (condition.judge(try read(.ipPools, name: name)), target)
        case .allocation(let name):
            return (condition.judge(try read(.ipAllocations, name: name.objectName)), target)
        case .address(let address):
            let names = AllocationName.names(of: address, in: try pools())
            let objects = try read(names.map { .get(.ipAllocations, name: $0.objectName) }, what: "allocations")
            let found = zip(names, objects).compactMap { name, json in json.map { (name: name, json: $0) } }
            let (outcome, name) = try condition.judge(address, found)
            return (outcome, condition == .gone ? target : name.map { .allocation($0) } ?? target)
        }
    }
}

extension AllocationName {
    /// Those that an address has in the networks of pools, and in the default one, which comes first.
    static func names(of address: IPAddress, in pools: [PoolEntry]) -> [AllocationName] {
        let networks = Set(pools.map(\.pool.spec.network)).union([""])
        return networks.sorted().compactMap { AllocationName(network: $0, address: address) }
    }
}

/// What `wait` shows.
package struct WaitReport: Hashable, Sendable, Report {
    package var target: WaitTarget
    package var condition: WaitCondition

    package init(_ target: WaitTarget, _ condition: WaitCondition) {
        self.target = target
        self.condition = condition
    }

    package func text(_ style: Style, isWide: Bool) -> String { "\(target.description): \(condition)\n" }

    package var json: JSON { ["name": .string(target.name), "condition": .string("\(condition)"), "met": true] }

    package var names: [String] {
        [target.isPool ? ObjectText.pool(target.name) : ObjectText.allocation(target.name)]
    }
}
