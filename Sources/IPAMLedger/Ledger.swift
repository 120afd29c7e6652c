package import IPAddressing
package import KubernetesCore

/// The claims and releases of one node at the API server, with the journal that lets them survive a crash.
///
/// One value serves one thread: it drives one connection. Any number of processes may work on one journal.
package struct Ledger {
    package let transport: any Transport
    package let journal: Journal
    package let node: String
    package let machineID: String
    package let log: any LedgerLog
    /// Whether an address is configured on this node itself, and so must never be given to a pod.
    let isHostAddress: @Sendable (IPAddress) -> Bool
    /// The addresses by which pools may select this node. Asked only where one does.
    let nodeAddresses: @Sendable () -> [IPAddress]
    /// Seconds since 1970-01-01 UTC. Only for the times that people read; decisions go by the transport's clock.
    let wallClock: @Sendable () -> Int64
    var generator = SystemRandomNumberGenerator()
    /// During a claim, by UID of the pool: which of this node's blocks were found full.
    var fullBlocks: [String: Set<String>] = [:]
    /// During a claim, by UID: other pools that were found full.
    var fullPools: Set<String> = []
    /// During a claim: no block is to be had that helps, and what cools may be taken over.
    var isLastResort = false
    /// During a claim: pools that may serve were not read, because others that may were.
    var hasPassedOver = false
    /// During a claim: what those were chosen by is to be verified.
    var verification: PoolVerification?
    /// During a claim: those are full, or not the right ones.
    var readsAllPools = false

    package init(
        transport: any Transport, journal: Journal, node: String, machineID: String, log: any LedgerLog,
        isHostAddress: @escaping @Sendable (IPAddress) -> Bool,
        nodeAddresses: @escaping @Sendable () -> [IPAddress] = { [] }, wallClock: @escaping @Sendable () -> Int64
    ) {
        self.transport = transport
        self.journal = journal
        self.node = node
        self.machineID = machineID
        self.log = log
        self.isHostAddress = isHostAddress
        self.nodeAddresses = nodeAddresses
        self.wallClock = wallClock
    }

    var timestamp: String { Timestamp.rfc3339(secondsSince1970: wallClock()) }
}
