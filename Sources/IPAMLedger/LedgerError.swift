package import IPAMAPI
package import IPAMEngine
import IPAddressing
import JSONText
package import KubernetesCore

/// Why the ledger could not do what was asked. Nothing is claimed where one of these is thrown.
package enum LedgerError: Error, Sendable, CustomStringConvertible {
    /// The API server refused, failed or did not answer, with what was tried before.
    case api(APIError, attempts: Int)
    /// The deadline passed; the text says what was under way.
    case deadline(String)
    /// A pool that the configuration names cannot serve.
    case poolUnusable(String)
    /// Pools were made, edited or deleted since the node read them all.
    case poolsChanged
    /// An annotation of the pod or its namespace cannot be understood, or names a pool that it may not.
    case annotation(String)
    /// No pool of a slot has an address left.
    case exhausted([PoolFill])
    /// A requested address cannot be given.
    case addressRefused(String)
    /// The pod is gone, or another one has its name.
    case podChanged(String)
    /// A DEL of the attachment came while the ADD was under way.
    case deleted(Attachment)
    /// Another ADD or DEL of the same attachment is still under way.
    case busy(Attachment)
    /// Another pod has the IPClaim, or its addresses, and is not proved to be gone.
    case claimBusy(String)
    /// The ledger does not say what the sandbox holds (CHECK).
    case notHeld(String)
    /// An object that cannot be understood, edited by hand or written by something else.
    case malformed(name: String, problem: String)
    /// The node's journal cannot be read or written.
    case journal(JournalError)

    /// How full a pool was when it had nothing to give.
    package struct PoolFill: Hashable, Sendable, CustomStringConvertible {
        package var pool: String
        package var poolUID: String
        package var counts: PoolCounts
        /// Addresses that nobody holds and that were passed over all the same: they are the node's own.
        package var own: Int
        /// The purpose whose addresses alone could be given, if any.
        package var purpose: String?
        /// What of a sliced pool the node had.
        package var slice: ValidatedPool.Slice?
        /// Why it gives nothing new to the claimant's namespace, whatever is free: a predicate.
        package private(set) var limit: String?

        package init(
            pool: String, poolUID: String = "", counts: PoolCounts, own: Int = 0, purpose: String? = nil,
            slice: ValidatedPool.Slice? = nil
        ) {
            self.pool = pool
            self.poolUID = poolUID
            self.counts = counts
            self.own = own
            self.purpose = purpose
            self.slice = slice
        }

        package init(limited pool: ValidatedPool, by limit: String) {
            // Releases that are owed to the pool would change nothing.
            self.init(pool: pool.name, counts: PoolCounts(usable: 0, allocated: 0, cooling: 0, held: 0))
            self.limit = limit
        }

        package var description: String {
            if let limit { return "IPPool \"\(pool)\" \(limit)" }
            if let slice, slice.blocks.isEmpty, counts.usable == 0 { return "IPPool \"\(pool)\": \(slice.lack)" }
            guard counts.usable > 0 else { return "IPPool \"\(pool)\": every address is reserved" }
            let usable = counts.usable == .max ? "more than 2^127" : String(counts.usable)
            let noun = counts.usable == 1 ? "address" : "addresses"
            let owned =
                switch own {
                case 0: ""
                case 1: ", 1 is an address of this node"
                default: ", \(own) are addresses of this node"
                }
            let reserved = purpose.map { " reserved for the purpose \"\($0)\"" } ?? ""
            let share =
                slice.map { slice in
                    slice.blocks.isEmpty
                        ? " in others' blocks" : " in this node's \(slice.blocks.joined(separator: ", "))"
                } ?? ""
            let lack = slice.map { "; \($0.lack)" } ?? ""
            return "IPPool \"\(pool)\": \(usable) usable \(noun)\(share)\(reserved), \(counts.allocated) allocated,"
                + " \(counts.held) held by claims, \(counts.cooling) cooling\(owned)\(lack)"
        }
    }

    /// Whether it is a DEL that ended the claim.
    var isDeletion: Bool {
        if case .deleted = self { true } else { false }
    }

    package var description: String {
        switch self {
        case .api(let error, let attempts): attempts > 1 ? "\(error) (after \(attempts) attempts)" : "\(error)"
        case .deadline(let text): "deadline passed: \(text)"
        case .poolUnusable(let text), .annotation(let text), .addressRefused(let text), .podChanged(let text),
            .claimBusy(let text), .notHeld(let text):
            text
        case .poolsChanged: "IPPools were edited while an address was claimed"
        case .exhausted(let fills):
            "no address is free: \(fills.map(\.description).joined(separator: "; "))"
        case .deleted(let attachment): "\(attachment) was deleted while its ADD was under way"
        case .busy(let attachment): "another ADD or DEL of \(attachment) is still under way"
        case .malformed(let name, let problem): "IPAllocation \"\(name)\" is malformed: \(problem)"
        case .journal(let error): "\(error)"
        }
    }
}

extension ValidatedPool.Slice {
    /// Why the node has no other block.
    fileprivate var lack: String {
        let blocks = total == 1 ? "1 block" : "\(total) blocks"
        return isLast
            ? "no block of /\(prefixLength) is free, it has \(blocks)"
            : "another block of /\(prefixLength) was not had, it has \(blocks)"
    }
}
