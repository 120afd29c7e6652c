/// The trace that a call belongs to (W3C Trace Context, section 3.2), which libcni passes in `TRACEPARENT`. Its
/// identifier goes into log lines.
package struct TraceContext: Hashable, Sendable {
    /// 32 lower-case hexadecimal digits, not all zero.
    package let traceID: String
    /// The caller's span: 16 lower-case hexadecimal digits, not all zero.
    package let parentID: String
    package let isSampled: Bool

    package init?(environment: Environment) {
        guard let header = environment["TRACEPARENT"] else { return nil }
        self.init(traceparent: header)
    }

    /// Nil for a header that the specification says to ignore. A version above 00 may have more fields after these.
    package init?(traceparent header: String) {
        let fields = header.split(separator: "-", omittingEmptySubsequences: false)
        guard fields.count >= 4,
            Self.isHex(fields[0], count: 2), fields[0] != "ff", fields[0] != "00" || fields.count == 4,
            Self.isHex(fields[1], count: 32), fields[1].contains(where: { $0 != "0" }),
            Self.isHex(fields[2], count: 16), fields[2].contains(where: { $0 != "0" }),
            Self.isHex(fields[3], count: 2), let flags = UInt8(fields[3], radix: 16)
        else { return nil }
        traceID = String(fields[1])
        parentID = String(fields[2])
        isSampled = flags & 1 == 1
    }

    /// Upper case is invalid by the specification.
    private static func isHex(_ text: Substring, count: Int) -> Bool {
        text.utf8.count == count
            && text.utf8.allSatisfy {
                UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || UInt8(ascii: "a")...UInt8(ascii: "f") ~= $0
            }
    }
}
