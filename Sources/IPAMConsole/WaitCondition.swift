package import IPAMAPI
import IPAMEngine
import IPAddressing
package import JSONText
package import KubernetesCore

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
package struct WaitTarget: Hashable, Sendable, CustomStringConvertible {
    package var type: ResourceType
    package var name: String

    /// An address, `NETWORK/ADDRESS`, the name of an allocation or, anything else, of a pool; `ippool/NAME` and
    /// `ipallocation/NAME` say which.
    package init(_ text: String) throws(ConsoleError) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if parts.count == 2, ["ippool", "ippools", "ipp", "ippool.ipam.berth.dev"].contains(parts[0]) {
            (type, name) = (.ipPools, parts[1])
            return
        }
        switch try HolderQuery(text, namespace: "") {
        case .address(let address): (type, name) = (.ipAllocations, address.objectName)
        case .allocation(let allocation): (type, name) = (.ipAllocations, allocation.objectName)
        case .name: (type, name) = (.ipPools, text)
        case .pod, .node, .claim: throw ConsoleError("\"\(text)\" is neither a pool nor an address")
        }
    }

    package var isPool: Bool { type == .ipPools }
    package var description: String { isPool ? "IPPool \(name)" : "allocation \(name)" }
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
