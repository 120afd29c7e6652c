import CHost
import Glibc
package import IPAddressing
import KubernetesClient

/// What the agent learns of the machine that it runs on.
package enum HostMachine {
    /// Tells one boot of the machine from another.
    package static var bootID: String { bootID(in: "/proc") ?? "" }

    /// The same as the plugin sees it, which is not run in this container: where a node is a container itself, its
    /// boot ID can be its own (systemd-nspawn, LXC).
    ///
    /// - Parameter proc: Where the host's processes are.
    package static func hostBootID(proc: String) -> String { bootID(in: "\(proc)/1/root/proc") ?? bootID }

    private static func bootID(in proc: String) -> String? {
        let content = try? FileContents.read("\(proc)/sys/kernel/random/boot_id")
        return content.map { String(decoding: $0, as: UTF8.self).filter { !$0.isWhitespace } }
    }

    /// Tells two machines of one node name apart; as the plugin reads it.
    package static func machineID(_ path: String) throws(HostFileError) -> String {
        guard let content = try HostFile.read(path) else {
            throw HostFileError(path, "does not exist; make it with systemd-machine-id-setup")
        }
        let text = String(decoding: content, as: UTF8.self).filter { !$0.isWhitespace }
        guard !text.isEmpty, text.utf8.count <= 64 else {
            throw HostFileError(path, "holds no machine ID: expected 1 to 64 characters, found \(text.utf8.count)")
        }
        return text
    }

    /// Seconds since 1970.
    @Sendable package static func wallTime() -> Int64 { Int64(time(nil)) }

    /// As the plugin asks; see there.
    @Sendable package static func owns(_ address: IPAddress) -> Bool {
        let size = address.family.bitWidth / 8
        let bytes = withUnsafeBytes(of: address.value.bigEndian) { Array($0.suffix(size)) }
        return chost_is_local_address(bytes, size) == 1
    }
}
