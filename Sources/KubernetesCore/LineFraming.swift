/// Cuts a stream of bytes into lines as it arrives.
///
/// Guarantees: the bytes given and the lines returned are the same, but for the newlines, however the stream was cut
/// into chunks. No more is kept than the last chunk and one unfinished line of at most `maximumLength` bytes.
package struct LineFraming: Sendable {
    private let maximumLength: Int
    private var bytes: ArraySlice<UInt8> = []
    /// No newline stands before this index.
    private var searched = 0

    /// - Parameter maximumLength: Of a line without its newline, in bytes. An object of the API has at most 1.5 MiB in
    ///   etcd, and JSON makes it at most a few times that.
    package init(maximumLength: Int = 16 << 20) { self.maximumLength = maximumLength }

    /// Is called when `next` has returned nil.
    package mutating func append(_ chunk: [UInt8]) {
        if bytes.isEmpty {
            bytes = chunk[...]
            searched = bytes.startIndex
        } else {
            // Only an unfinished line is copied.
            let offset = searched - bytes.startIndex
            bytes = ArraySlice(Array(bytes) + chunk)
            searched = bytes.startIndex + offset
        }
    }

    /// The next whole line without its newline, or nil when more bytes are needed. Empty lines are left out.
    ///
    /// - Throws: For a line longer than the bound; the framing is then of no use any more.
    package mutating func next() throws(LineTooLong) -> ArraySlice<UInt8>? {
        while let newline = bytes[searched...].firstIndex(of: UInt8(ascii: "\n")) {
            let line = bytes[..<newline]
            bytes = bytes[(newline + 1)...]
            searched = bytes.startIndex
            guard line.count <= maximumLength else { throw LineTooLong(maximumLength: maximumLength) }
            if !line.isEmpty { return line }
        }
        searched = bytes.endIndex
        guard bytes.count <= maximumLength else { throw LineTooLong(maximumLength: maximumLength) }
        return nil
    }

    /// Whether the stream may end here: false when it was cut inside a line.
    package var isAtEndOfLine: Bool { bytes.isEmpty }
}

package struct LineTooLong: Error, Equatable, Sendable, CustomStringConvertible {
    package let maximumLength: Int

    package var description: String { "a line longer than \(maximumLength) bytes" }
}
