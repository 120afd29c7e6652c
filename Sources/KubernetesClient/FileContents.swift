import Glibc

/// Small files, read whole.
package enum FileContents {
    /// What is larger is no kubeconfig, certificate or token.
    static let maximumSize = 16 << 20

    package static func read(_ path: String) throws(ConfigurationError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(path, errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        while true {
            var failure: Int32 = 0
            let chunk = [UInt8](unsafeUninitializedCapacity: 16 << 10) { buffer, count in
                var result = -1
                repeat {
                    result = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                } while result < 0 && errno == EINTR
                if result < 0 { failure = errno }
                count = max(result, 0)
            }
            guard failure == 0 else { throw unreadable(path, failure) }
            if chunk.isEmpty { return bytes }
            if bytes.isEmpty { bytes = chunk } else { bytes += chunk }
            guard bytes.count <= maximumSize else {
                throw ConfigurationError(.unreadable, "\(path): larger than \(maximumSize >> 20) MiB")
            }
        }
    }

    private static func unreadable(_ path: String, _ code: Int32) -> ConfigurationError {
        ConfigurationError(.unreadable, "\(path): cannot be read: \(String(cString: strerror(code)))")
    }
}
