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

    /// The addresses of the node's interfaces, without those that mean nothing beyond one host or one link.
    @Sendable static func addresses() -> [IPAddress] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var addresses: [IPAddress] = []
        var next = first
        while let entry = next?.pointee {
            next = entry.ifa_next
            guard let socket = entry.ifa_addr, entry.ifa_flags & UInt32(IFF_LOOPBACK) == 0 else { continue }
            let bytes: [UInt8]
            switch Int32(socket.pointee.sa_family) {
            case AF_INET:
                bytes = socket.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { socket in
                    withUnsafeBytes(of: socket.pointee.sin_addr) { Array($0) }
                }
                if bytes.starts(with: [169, 254]) { continue }
            case AF_INET6:
                bytes = socket.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { socket in
                    withUnsafeBytes(of: socket.pointee.sin6_addr) { Array($0) }
                }
                if bytes[0] == 0xFE, bytes[1] & 0xC0 == 0x80 { continue }
            default: continue
            }
            let value = bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
            if let address = IPAddress(family: bytes.count == 4 ? .v4 : .v6, value: value) { addresses.append(address) }
        }
        return addresses
    }
}
