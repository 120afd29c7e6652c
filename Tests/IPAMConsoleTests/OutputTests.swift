import JSONText
import Testing

@testable import IPAMConsole

@Suite struct OutputTests {
    @Test func `A table is as wide as its cells, and what is empty is a dash`() {
        let table = Table(
            [.init("POOL"), .init("FREE", .right), .init("NOTE")],
            rows: [["blue", "5", ""], ["a-long-name", "12345", Cell("bad", .red)]])
        #expect(
            table.rendered(Style()) == """
                POOL           FREE   NOTE
                blue              5   -
                a-long-name   12345   bad

                """)
    }

    @Test func `Colours come only where they are wanted, and do not move columns`() {
        let table = Table([.init("A"), .init("B")], rows: [[Cell("x", .red), "y"]])
        #expect(
            table.rendered(Style(isColored: true))
                == "\u{1B}[1mA\u{1B}[0m   \u{1B}[1mB\u{1B}[0m\n\u{1B}[31mx\u{1B}[0m   y\n")
    }

    @Test(
        arguments: [
            (0, 10, "░░░░░░░░░░   0%"), (1, 1000, "░░░░░░░░░░  <1%"), (5, 10, "█████░░░░░  50%"),
            (83, 100, "████████░░  83%"), (96, 100, "█████████░  96%"), (999, 1000, "█████████░ >99%"),
            (10, 10, "██████████ 100%"), (11, 10, "██████████ 100%"), (0, 0, "░░░░░░░░░░     -"),
        ] as [(UInt128, UInt128, String)])
    func `A bar is full only when nothing is left`(_ used: UInt128, _ total: UInt128, _ bar: String) {
        #expect(Figures.bar(used: used, of: total, Style()) == bar)
    }

    @Test func `Bars of the largest pools are right, and without block elements possible`() {
        let total = UInt128.max
        #expect(Figures.bar(used: total / 2, of: total, Style()) == "█████░░░░░  50%")
        #expect(Figures.bar(used: 1, of: total, Style()) == "░░░░░░░░░░  <1%")
        #expect(Figures.bar(used: 1, of: 2, Style(isUnicode: false)) == "#####-----  50%")
    }

    @Test(
        arguments: [
            (-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (192, "3m12s"), (600, "10m"), (10_799, "179m"),
            (10_800, "3h"), (19_800, "5h30m"), (30_000, "8h"), (172_800, "2d"), (180_000, "2d2h"), (1_000_000, "11d"),
            (70_000_000, "2y80d"),
        ] as [(Int64, String)])
    func `Ages are those of kubectl`(_ seconds: Int64, _ text: String) {
        #expect(Figures.age(seconds: seconds) == text)
    }

    @Test func `YAML quotes what could be taken for something else`() throws {
        let json = try JSON(
            parsing: """
                {"a": "text", "b": "10.0.0.7", "c": "true", "d": true, "e": 5, "f": null, "g": [], "h": {},
                "i": [{"x": 1, "y": ["p", "q: r"]}, "z"], "j": {"k": {"l": "two words"}}, "1m": "é", "m": "", "n": "a "}
                """)
        #expect(
            json.yaml == """
                a: text
                b: "10.0.0.7"
                c: "true"
                d: true
                e: 5
                f: null
                g: []
                h: {}
                i:
                - x: 1
                  "y":
                  - p
                  - "q: r"
                - z
                j:
                  k:
                    l: two words
                "1m": "é"
                m: ""
                "n": "a "

                """)
    }

    @Test(arguments: [
        ("registry.example/berth/berth-node:0.1.0", "0.1.0"), ("localhost:5000/berth-node", ""),
        ("berth-node:0.1.0@sha256:ab", "0.1.0"), ("berth-node@sha256:ab", "sha256:ab"),
        ("", ""), ("@", ""), (":", ""),
    ])
    func `The version of an image is its tag`(_ image: String, _ tag: String) {
        #expect(VersionReport.tag(ofImage: image) == tag)
    }

    @Test func `Versions that differ from this program's stand out`() {
        let report = VersionReport([
            .init("kubectl-berth", version: "0.1.0"), .init("berth-node", place: "n1", version: "0.0.9", detail: "x"),
            .init("berth-node", place: "n2", version: ""),
        ])
        #expect(
            report.text(Style(), isWide: false) == """
                COMPONENT       PLACE   VERSION   DETAIL
                kubectl-berth   -       0.1.0     -
                berth-node      n1      0.0.9     x
                berth-node      n2      unknown   -

                """)
        #expect(report.text(Style(isColored: true), isWide: false).contains("\u{1B}[33m0.0.9\u{1B}[0m"))
    }

    @Test(
        arguments: [
            (["st"], ["status"]), (["free", "b"], ["blue"]), (["free", "-"], []), (["check", "blue", ""], ["red"]),
            (["status", "-o", "y"], ["yaml"]),
            (["wait", "blue", "--for", "c"], ["condition=Exhausted=False", "condition=Ready"]),
            (["check", "--f"], ["--fix"]), (["check", "--fix", "r"], ["red"]), (["who", ""], []),
            (["explain", "web", "--pools", "b"], ["blue"]), (["free", "--limit", ""], []),
        ] as [([String], [String])])
    func `A shell is told what may follow`(_ words: [String], _ expected: [String]) {
        let answer = Completion.answer(words) { ["red", "blue"] }
        guard words.last != "-" else {
            #expect(answer.candidates.contains("--limit") && answer.candidates.contains("--kubeconfig"))
            return
        }
        #expect(answer.candidates == expected)
        #expect(answer.directive == .noFiles)
    }

    @Test func `Where a file is named, the shell's own completion helps`() {
        #expect(Completion.answer(["status", "--kubeconfig", "/e"]) { [] }.text == ":0\n")
        #expect(Completion.answer(["status"]) { [] }.text == "status\n:4\n")
    }
}
