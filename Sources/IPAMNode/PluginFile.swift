import Glibc

/// Recognises the plugin among executables, without running what may be anybody's.
enum PluginFile {
    /// What every version of the plugin holds, for it is where it looks for its configuration.
    private static let marker: StaticString = "/etc/cni/net.d/berth.d"

    static func isBerths(_ content: [UInt8]) -> Bool {
        content.starts(with: [0x7F, UInt8(ascii: "E"), UInt8(ascii: "L"), UInt8(ascii: "F")])
            && content.withUnsafeBytes { contains(marker, in: $0) }
    }

    private static func contains(_ text: StaticString, in bytes: UnsafeRawBufferPointer) -> Bool {
        let (length, first) = (text.utf8CodeUnitCount, Int32(text.utf8Start.pointee))
        var rest = bytes[...]
        while rest.count >= length, let start = UnsafeRawBufferPointer(rebasing: rest).baseAddress,
            let found = memchr(start, first, rest.count - length + 1)
        {
            if memcmp(found, text.utf8Start, length) == 0 { return true }
            rest = rest.dropFirst(UnsafeRawPointer(found) - start + 1)
        }
        return false
    }
}
