import IPAMAPI
import Testing

@Suite struct LabelValueTests {
    @Test(arguments: ["", "a", "blue", "Blue_1.x-2", "10.19.120.7", String(repeating: "a", count: 63)])
    func `what is valid stays as it is`(text: String) {
        #expect(LabelValue.isValid(text))
        #expect(LabelValue.fitting(text) == text)
    }

    // The hashes are those of sha256sum.
    @Test(
        arguments: [
            // Too long: 46 characters of it, and 16 digits.
            (String(repeating: "a", count: 64), String(repeating: "a", count: 46) + "-ffe054fe7ae0cb6d"),
            // Not letters and digits at both ends.
            ("-a", "a-c274891790345c56"), ("a.", "a.-5ab640fad553cbf9"),
            // Characters that no label has.
            ("a/b c", "abc-0af99a6091695385"), ("ä", "33e6d73fee82904c"),
        ])
    func `what is not valid is cut and told apart by a hash`(text: String, value: String) {
        #expect(!LabelValue.isValid(text))
        #expect(LabelValue.fitting(text) == value)
        #expect(LabelValue.isValid(value))
        #expect(value.utf8.count <= 63)
    }

    @Test func `different texts get different values`() {
        let texts = [
            String(repeating: "a", count: 64), String(repeating: "a", count: 65), "/", "//", "a/b", "a/bc", "ab/", "-",
            "ä",
            "ö",
        ]
        #expect(Set(texts.map(LabelValue.fitting)).count == texts.count)
    }
}
