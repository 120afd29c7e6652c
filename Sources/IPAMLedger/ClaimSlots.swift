import IPAMAPI
import IPAddressing
import KubernetesCore

extension [ClaimSlot] {
    /// Holds what earlier ADDs of the attachment left behind in the slots that it fits; returns the rest.
    ///
    /// What is held comes before what may come to exist, and an address that one slot must have is not for the others.
    ///
    /// - Parameter isIntact: An ADD returned what is held, and no DEL came since. Otherwise a release of it may be under
    ///   way, which would take it from under the pod: it is not held again.
    mutating func resume(_ leftover: [JournalEntry.Record], isIntact: Bool) -> [JournalEntry.Record] {
        let held = leftover.filter { $0.version != nil }
        let rest = (isIntact ? held : []) + leftover.filter { $0.version == nil }
        let surplus = rest.filter { record in
            let exact = indices.filter { self[$0].exact == record.address }
            return !(exact.isEmpty ? Array<Int>(indices) : exact).contains { self[$0].resume(record) }
        }
        return isIntact ? surplus : held + surplus
    }

    /// Leaves names alone whose release is under way: it could be committed when they are held again.
    mutating func leave(_ released: Set<String>) {
        for index in indices { self[index].leave(released) }
    }

    /// The names that the other slots of the attachment hold or try.
    func names(besides index: Int) -> Set<String> {
        indices.reduce(into: []) { names, other in if other != index { names.formUnion(self[other].names) } }
    }

    /// Gives what is kept to slots without an address: each the first one that it can take, and first those that must
    /// have a certain one.
    mutating func adopt(_ kept: [IPAllocation]) {
        var rest = kept
        for isExact in [true, false] {
            for index in indices where self[index].isUndecided && (self[index].exact != nil) == isExact {
                let others = names(besides: index)
                let found = rest.indices.first { candidate in
                    !others.contains(rest[candidate].metadata.name) && self[index].adopt(rest[candidate])
                }
                if let found { rest.remove(at: found) }
            }
        }
    }
}
