import CHost

/// SHA-256 (FIPS 180-4), for names that must not collide. Nothing here is a secret.
enum SHA256 {
    /// The digest as 64 lower-case hexadecimal digits.
    static func hex(_ text: String) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        let bytes = Array(text.utf8)
        chost_sha256(bytes, bytes.count, &digest)
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 0xF)]] }, as: UTF8.self)
    }

    /// The first digits of the digest of several texts, which differ whenever the list of texts differs.
    static func hex(of texts: [String], digits: Int) -> String {
        // With its length in front, no text can pass for the end of another one.
        String(hex(texts.map { "\($0.utf8.count):\($0)" }.joined()).prefix(digits))
    }
}
