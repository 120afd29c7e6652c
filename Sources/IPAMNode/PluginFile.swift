import Glibc

/// Recognises the plugin among executables, without running what may be anybody's.
enum PluginFile {
    /// What every version of the plugin holds, for it is where it looks for its configuration.
    private static let marker = "/etc/cni/net.d/berth.d"

    static func isBerths(_ content: [UInt8]) -> Bool {
        content.starts(with: [0x7F, UInt8(ascii: "E"), UInt8(ascii: "L"), UInt8(ascii: "F")])
            && contains(Array(marker.utf8), in: content)
    }

    /// Whether bytes stand somewhere in others. Of nothing the answer is yes.
    static func contains(_ text: [UInt8], in content: [UInt8]) -> Bool {
        guard let first = text.first else { return true }
        return content.withUnsafeBytes { bytes in
            text.withUnsafeBytes { text in
                guard let start = bytes.baseAddress, let pattern = text.baseAddress else { return false }
                var offset = 0
                while bytes.count - offset >= text.count,
                    let found = memchr(start + offset, Int32(first), bytes.count - offset - text.count + 1)
                {
                    if memcmp(found, pattern, text.count) == 0 { return true }
                    offset = UnsafeRawPointer(found) - start + 1
                }
                return false
            }
        }
    }
}
