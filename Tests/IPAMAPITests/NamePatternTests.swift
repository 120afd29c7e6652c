import IPAMAPI
import Testing

@Suite struct NamePatternTests {
    @Test(
        arguments: [
            // Plain.
            ("blue-v4", "blue-v4", true), ("blue-v4", "blue-v6", false), ("blue", "blue-v4", false),
            ("blue", "blu", false),
            // Any run, and any one.
            ("green-*", "green-v4", true), ("green-*", "green-", true), ("green-*", "green", false), ("*", "", true),
            ("*", "anything", true), ("*-v4", "blue-v4", true), ("*-v4", "blue-v6", false),
            ("a*b*c", "axxbyyc", true), ("a*b*c", "axxcyyb", false), ("net?", "net1", true), ("net?", "net", false),
            ("net?", "net12", false),
            // Numbers.
            ("node[1-3,5]", "node1", true), ("node[1-3,5]", "node3", true), ("node[1-3,5]", "node5", true),
            ("node[1-3,5]", "node4", false), ("node[1-3,5]", "node12", false), ("node[1-3,5]", "node", false),
            ("node[1-3,5]", "node01", false), ("node[01-12]", "node01", true), ("node[01-12]", "node12", true),
            ("node[01-12]", "node1", false), ("node[01-12]", "node13", false), ("n[0]", "n0", true),
            ("n[0-9]", "n00", false), ("r[1-2]n[10-20]", "r2n15", true), ("r[1-2]n[10-20]", "r3n15", false),
            ("n[1-3]-*", "n2-a", true), ("n[1-30]0", "n20", true), ("n[1-30]0", "n2", false),
        ])
    func `names are held against patterns`(text: String, name: String, isMatch: Bool) throws {
        #expect(try NamePattern(parsing: text).matches(name) == isMatch)
    }

    @Test(
        arguments: [
            ("", #""" is empty"#), ("a[1", #""a[1" has a "[" without its "]""#),
            ("a]", #""a]" has a "]" without its "[""#),
            (
                "a[]",
                #""a[]" has in its brackets "", which is neither a number nor a range such as 1-3"#
            ),
            (
                "a[x]",
                #""a[x]" has in its brackets "x", which is neither a number nor a range such as 1-3"#
            ),
            (
                "a[3-1]",
                #""a[3-1]" has in its brackets "3-1", which is neither a number nor a range such as 1-3"#
            ),
            (
                "a[1-2-3]",
                #""a[1-2-3]" has in its brackets "1-2-3", which is neither a number nor a range such as 1-3"#
            ),
            ("a[1-02]", #""a[1-02]" has numbers with leading zeros that differ in length"#),
            ("a b", #""a b" holds a blank or a character that no name has"#),
        ])
    func `what is no pattern is quoted with its fault`(text: String, message: String) {
        do throws(PatternError) {
            _ = try NamePattern(parsing: text)
            Issue.record("\(text) is a pattern")
        } catch {
            #expect(error.description == message)
        }
    }

    @Test func `a text that is too long is none`() {
        #expect(throws: PatternError.self) { try NamePattern(parsing: String(repeating: "a", count: 254)) }
        #expect(throws: Never.self) { try NamePattern(parsing: String(repeating: "a", count: 253)) }
    }

    @Test func `a pattern for one name only is exact`() throws {
        #expect(try NamePattern(parsing: "blue-v4").isExact)
        for text in ["blue-*", "blue-v?", "n[1]"] { #expect(try !NamePattern(parsing: text).isExact) }
    }

    @Test(.timeLimit(.minutes(1)))
    func `the longest name and the worst pattern end soon`() throws {
        let name = String(repeating: "a", count: 253)
        #expect(try !NamePattern(parsing: String(repeating: "*a", count: 100) + "b").matches(name))
    }
}
