import IPAMAPI
import IPAMEngine
import JSONText
import KubernetesCore

/// The pools that an ADD has read.
struct PoolShelf {
    /// How to learn of pools.
    enum Query {
        /// Those of these names.
        case named([String])
        /// All of them, from the server's cache.
        case all
        /// All of them, by what the node remembers, if that is still so, and those whole that are likely to serve.
        case remembered(PoolMemory, likely: [String])

        var requests: [APIRequest] {
            switch self {
            case .named(let names): names.map { .get(.ipPools, name: $0) }
            case .all: [.list(.ipPools, options: ListOptions(resourceVersion: "0"))]
            case .remembered(_, let likely): [PoolMemory.verification] + Query.named(likely).requests
            }
        }
    }

    /// Of the pools that were read whole, without the rules of reservations.
    private(set) var readings: [String: PoolSelection.Reading] = [:]
    /// Of all pools that there are, where they are known in this way.
    private(set) var outlines: [String: PoolOutline]?
    /// All pools, as the server listed them.
    private(set) var listed: [JSON]?
    /// The server cannot say of which generation its pools are.
    private(set) var isUntelling = false
    private var objects: [String: IPPool] = [:]
    private var absent: Set<String> = []

    /// Whether it has every pool there is, so that one it lacks does not exist.
    var isComplete: Bool { listed != nil }

    /// Takes in the answers to the requests of a query, in their order.
    mutating func add(_ query: Query, _ answer: () throws(LedgerError) -> JSON?) throws(LedgerError) {
        switch query {
        case .named(let names):
            for name in names {
                guard let found = try answer() else {
                    absent.insert(name)
                    outlines?[name] = nil
                    continue
                }
                put(found, name)
                // It may be newer than what is remembered of it.
                if outlines != nil { outlines?[name] = try? PoolOutline(found) }
            }
        case .all:
            addAll(try answer())
        case .remembered(let memory, let likely):
            if let table = try answer() {
                if table["items"] != nil { addAll(table) }
                isUntelling = !PoolMemory.isTelling(table)
                if memory.agrees(with: table) { outlines = memory.outlines }
            }
            try add(.named(likely), answer)
        }
    }

    private mutating func addAll(_ list: JSON?) {
        let items = list?["items"]?.array ?? []
        for item in items {
            guard let name = item["metadata"]?["name"]?.string else { continue }
            put(item, name)
        }
        listed = items
    }

    func knows(_ name: String) -> Bool { isComplete || readings[name] != nil || absent.contains(name) }

    /// The pools of these names that make sense.
    func objects(_ names: [String]) -> [IPPool] { names.compactMap { objects[$0] } }

    /// Takes in pools as a claim may use them.
    mutating func replace(_ pools: [ValidatedPool]) {
        for pool in pools { readings[pool.name] = .success(pool) }
    }

    private mutating func put(_ json: JSON, _ name: String) {
        do {
            let pool = try IPPool(json)
            readings[name] = .success(try ValidatedPool(pool))
            objects[name] = pool
        } catch let error as PoolProblem {
            readings[name] = .failure(error)
        } catch let error as JSONDecodingError {
            readings[name] = .failure(PoolProblem(field: error.path, message: error.problem))
        } catch {
            readings[name] = .failure(PoolProblem(field: "", message: "\(error)"))
        }
    }
}
