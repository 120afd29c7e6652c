import IPAMLedger
import KubernetesClient
import KubernetesCore
import TestSupport

extension TestNode {
    /// The node's ledger within this process, on the journal that the plugin's processes have too.
    func ledger(_ transport: any Transport) throws -> Ledger {
        let bootID = try Files.text("/proc/sys/kernel/random/boot_id").filter { !$0.isWhitespace }
        let journal = Journal(folder: journal, bootID: bootID, node: name, machineID: machineID, now: { .now() })
        return Ledger(
            transport: transport, journal: journal, node: name, machineID: machineID, log: SilentLog(),
            isHostAddress: { _ in false }, wallClock: { 0 })
    }
}

private struct SilentLog: LedgerLog {
    var level: LogLevel { .error }
    func write(_ level: LogLevel, _ message: StaticString, _ metadata: [(String, String)]) {}
}
