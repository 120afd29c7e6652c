import CNIProtocol
import Glibc

/// This process's environment and standard streams.
enum Process {
    static let environment = Environment { name in
        getenv(name).map { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
    }

    /// A terminal would never end, and no runtime writes a configuration by hand.
    static func readStandardInput() -> Result<[UInt8], StandardInputError> {
        if isatty(STDIN_FILENO) != 0 { return .success([]) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = read(STDIN_FILENO, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                return .failure(StandardInputError(reason: String(cString: strerror(errno))))
            }
            if count == 0 { return .success(content) }
            content.append(contentsOf: chunk[..<count])
        }
    }

    static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let written = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress.map { $0 + offset }, bytes.count - offset)
            }
            if written < 0 {
                if errno == EINTR { continue }
                return false
            }
            offset += written
        }
        return true
    }
}
