import JSONText
import KubernetesCore

/// Who the agent's Lease is to go with, and when its pod has to be asked for that, as a state machine without I/O.
///
/// Flow: whoever keeps the Lease reads it, asks ``needsReading(_:now:)``, reads the pod where that is so, writes the
/// Lease and says what came of it.
///
/// Guarantees: an ordinary renewal needs no look at the pod. An owner with which a renewal was refused is not tried
/// again by renewals until another one is wanted.
///
/// Caveats: a pod that was given to another DaemonSet is noticed when the Lease shows it, for the garbage collector
/// takes its owner or itself away, and otherwise after ``interval``.
struct LeaseOwner {
    /// Between two looks at the pod that nothing asks for.
    static let interval: Duration = .seconds(300)

    /// The DaemonSet of the agent's pod, as it was read last; nil where it has none.
    private(set) var wanted: OwnerReference?
    private var readAt: Moment?
    private var refused: OwnerReference?
    private var lease = Known.nothing

    /// What is known of the Lease since the pod was read last.
    private enum Known: Equatable {
        case nothing
        case there
        /// There, with owners of these UIDs after this agent's write.
        case left([String])
    }

    /// - Parameter found: The Lease; nil where there is none.
    func needsReading(_ found: JSON?, now: Moment) -> Bool {
        guard let readAt, now - readAt < Self.interval else { return true }
        guard let found else { return lease != .nothing }
        if case .left(let owners) = lease { return owners != Self.owners(of: found) }
        return false
    }

    mutating func read(_ owner: OwnerReference?, now: Moment) {
        wanted = owner
        readAt = now
        lease = .nothing
    }

    /// What a renewal writes; without one it leaves the owners as they are.
    var ofRenewal: OwnerReference? { wanted == refused ? nil : wanted }

    /// What was refused with the owner was done without. Returns whether that is news.
    mutating func refuse(_ owner: OwnerReference) -> Bool {
        defer { refused = owner }
        return refused != owner
    }

    /// - Parameter written: The Lease after the write; nil where only its being there is known.
    mutating func wrote(_ written: JSON?) { lease = written.map { Known.left(Self.owners(of: $0)) } ?? .there }

    private static func owners(of lease: JSON) -> [String] {
        (lease["metadata"]?["ownerReferences"]?.array ?? []).compactMap { $0["uid"]?.string }
    }
}
