import KubernetesCore
import Testing

@Suite struct Base64Tests {
    /// RFC 4648, section 10, and the two digits that differ between alphabets.
    static let vectors: [(String, String)] = [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"), ("\u{3}\u{3F}~~", "Az9+fg=="), ("???", "Pz8/"),
    ]

    @Test(arguments: vectors)
    func `Bytes and text convert into each other`(plain: String, encoded: String) {
        #expect(Base64.encode(Array(plain.utf8)) == encoded)
        #expect(Base64.decode(encoded) == Array(plain.utf8))
    }

    @Test(arguments: ["Zm 9v\r\n", "\tZm9v", "Z\nm9\nv\n\n"])
    func `White space is skipped`(text: String) {
        #expect(Base64.decode(text) == Array("foo".utf8))
    }

    @Test(arguments: [
        "Z", "Zg", "Zg=", "Zg===", "Zm8", "Zm8==", "Zm9v=", "Z===", "====", "=", "Zg==Zg==", "Zm9v!", "Zm9-", "Zm9_",
        "é", "Zh==", "Zm9=",
    ])
    func `What is not the encoding of anything is refused`(text: String) {
        #expect(Base64.decode(text) == nil)
    }

    @Test func `Random bytes survive a round trip`() {
        var generator = SeededGenerator(seed: 1)
        for count in 0..<300 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            let text = Base64.encode(bytes)
            #expect(text.utf8.count == (count + 2) / 3 * 4)
            #expect(Base64.decode(text) == bytes)
        }
    }
}
