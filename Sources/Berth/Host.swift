import CHost
import Glibc
import IPAMLedger
import IPAddressing
import KubernetesClient

/// What the plugin learns of the machine that it runs on.
enum Host {
    /// Without it, as in a sandbox without /proc, every boot looks like the same one.
    static var bootID: String {
        let content = try? FileContents.read("/proc/sys/kernel/random/boot_id")
        return String(decoding: content ?? [], as: UTF8.self).filter { !$0.isWhitespace }
    }

    static func sandbox(_ path: String?) -> SandboxNamespace? {
        guard let path else { return nil }
        var status = Glibc.stat()
        guard stat(path, &status) == 0 else { return nil }
        return SandboxNamespace(path: path, inode: UInt64(status.st_ino))
    }

    /// Whether an address is configured on this node. A kernel that cannot be asked counts as no: the check guards
    /// against a pool that overlaps the nodes' addresses, and a pool that does not needs none.
    @Sendable static func owns(_ address: IPAddress) -> Bool {
        let size = address.family.bitWidth / 8
        let bytes = withUnsafeBytes(of: address.value.bigEndian) { Array($0.suffix(size)) }
        return chost_is_local_address(bytes, size) == 1
    }
}
