import CNIProtocol
import Testing

struct CNINameTests {
    @Test(arguments: ["a", "0", "Net-1", "a_b.c-d", "9f2c", "a..b", String(repeating: "a", count: 300)])
    func `letters, digits and three symbols make an identifier`(text: String) {
        #expect(CNIName.isIdentifier(text))
    }

    @Test(arguments: ["", "-a", "_a", ".a", "a b", "a/b", "a\n", "a:b", "é", "aé", "a\0", "١"])
    func `anything else does not`(text: String) {
        #expect(!CNIName.isIdentifier(text))
    }

    @Test(arguments: ["e", "eth0", "net1", "Net_1", "eth0.100", "...", "123456789012345", "é", "a@b"])
    func `Linux takes these as names of interfaces`(name: String) {
        #expect(CNIName.problem(withInterface: name) == nil)
    }

    @Test(arguments: [
        ("", "is empty"),
        ("1234567890123456", "is longer than 15 bytes"),
        // Eight letters, sixteen bytes.
        ("éééééééé", "is longer than 15 bytes"),
        (".", "is a directory's name"),
        ("..", "is a directory's name"),
        ("a/b", "contains '/', ':' or white space"),
        ("eth0:1", "contains '/', ':' or white space"),
        ("a b", "contains '/', ':' or white space"),
        ("a\t", "contains '/', ':' or white space"),
        ("a\u{0B}", "contains '/', ':' or white space"),
        ("a\u{A0}b", "contains '/', ':' or white space"),
        ("a\u{2003}b", "contains '/', ':' or white space"),
    ])
    func `a bad name of an interface is described`(name: String, problem: String) {
        #expect(CNIName.problem(withInterface: name) == problem)
    }
}
