/// Base 64 with the standard alphabet and padding (RFC 4648, section 4).
package enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let padding = UInt8(ascii: "=")

    /// The value of each byte as a digit; 0xFF for a byte that is none.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 0xFF, count: 256)
        for (value, byte) in alphabet.enumerated() { values[Int(byte)] = UInt8(value) }
        return values
    }()

    package static func encode(_ bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        output.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let count = min(3, bytes.count - start)
            var group = UInt32(bytes[start]) << 16
            if count > 1 { group |= UInt32(bytes[start + 1]) << 8 }
            if count > 2 { group |= UInt32(bytes[start + 2]) }
            output.append(alphabet[Int(group >> 18)])
            output.append(alphabet[Int(group >> 12 & 63)])
            output.append(count > 1 ? alphabet[Int(group >> 6 & 63)] : padding)
            output.append(count > 2 ? alphabet[Int(group & 63)] : padding)
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// Nil for text that is not the encoding of anything. White space between the digits is skipped; padding is
    /// required, and bits that no byte uses must be zero, so that one value has one text.
    package static func decode(_ text: String) -> [UInt8]? {
        var output: [UInt8] = []
        output.reserveCapacity(text.utf8.count / 4 * 3)
        var group: UInt32 = 0
        var digits = 0
        var paddings = 0
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"): continue
            case padding:
                paddings += 1
                continue
            default: break
            }
            let value = values[Int(byte)]
            guard value != 0xFF, paddings == 0 else { return nil }
            group = group << 6 | UInt32(value)
            digits += 1
            if digits == 4 {
                output.append(UInt8(group >> 16))
                output.append(UInt8(group >> 8 & 0xFF))
                output.append(UInt8(group & 0xFF))
                group = 0
                digits = 0
            }
        }
        switch (digits, paddings) {
        case (0, 0): return output
        case (2, 2):
            guard group & 0xF == 0 else { return nil }
            output.append(UInt8(group >> 4))
            return output
        case (3, 1):
            guard group & 0x3 == 0 else { return nil }
            output.append(UInt8(group >> 10))
            output.append(UInt8(group >> 2 & 0xFF))
            return output
        default: return nil
        }
    }
}
