/// Checks of what a file holds, with errors that name it.
enum Credentials {
    /// A bearer token (RFC 6750, section 2.1), trimmed of white space. It becomes part of a header, so that nothing
    /// outside printable ASCII may be in it.
    static func token(_ bytes: [UInt8], source: @autoclosure () -> String) throws(ConfigurationError) -> String {
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
        let start = bytes.firstIndex { !isSpace($0) } ?? bytes.endIndex
        let end = (bytes.lastIndex { !isSpace($0) } ?? start - 1) + 1
        let trimmed = bytes[start..<end]
        guard !trimmed.isEmpty else { throw ConfigurationError(.invalid, "\(source()): the token is empty") }
        guard trimmed.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw ConfigurationError(
                .invalid, "\(source()): the token contains white space, control or non-ASCII characters")
        }
        return String(decoding: trimmed, as: UTF8.self)
    }

    static func certificates(
        _ bytes: [UInt8], source: @autoclosure () -> String
    ) throws(ConfigurationError) -> [UInt8] {
        guard contains(bytes, "-----BEGIN CERTIFICATE-----") else {
            throw ConfigurationError(.invalid, "\(source()): no certificate in PEM form")
        }
        return bytes
    }

    static func privateKey(_ bytes: [UInt8], source: @autoclosure () -> String) throws(ConfigurationError) -> [UInt8] {
        guard contains(bytes, "PRIVATE KEY-----") else {
            throw ConfigurationError(.invalid, "\(source()): no private key in PEM form")
        }
        // OpenSSL would ask for the pass phrase at the terminal.
        guard !contains(bytes, "ENCRYPTED") else {
            throw ConfigurationError(
                .unsupported, "\(source()): the private key is encrypted; give it without a pass phrase")
        }
        return bytes
    }

    private static func contains(_ bytes: [UInt8], _ text: StaticString) -> Bool {
        text.withUTF8Buffer { pattern in
            bytes.indices.contains { bytes[$0...].starts(with: pattern) }
        }
    }
}
