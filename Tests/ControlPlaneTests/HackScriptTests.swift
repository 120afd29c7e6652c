import TestSupport
import Testing

@Suite("Scripts in hack", .timeLimit(.minutes(1)))
struct HackScriptTests {
    @Test(
        arguments: [
            "bench", "build", "chart-apply", "chart-check", "control-plane", "curl-stubs", "demo", "docs-check",
            "kubernetes", "policy-check", "render", "setup", "test",
        ])
    func `a script finds its neighbours when it is called through a symbolic link`(script: String) async throws {
        let folder = try Files.makeTemporaryFolder("link")
        defer { try? Files.removeTree(folder) }
        try await runChecked("ln", ["-s", "\(Repository.root)/hack/\(script).sh", "\(folder)/\(script)"])
        let outcome = try await run("\(folder)/\(script)", ["--help"])
        #expect(outcome.succeeded, "\(outcome)")
        #expect(outcome.errorText.isEmpty)
    }

    /// What a document says and what is then complained of.
    @Test func `statements whose tests do not exist, and tests whose statements do not, are found`() async throws {
        let folder = try Files.makeTemporaryFolder("documents")
        defer { try? Files.removeTree(folder) }
        let parts = [
            "README.md", "CHANGELOG.md", "Package.swift", "Sources", "Tests", "charts", "config", "docs", "hack",
        ]
        try await runChecked("cp", ["-a"] + parts.map { "\(Repository.root)/\($0)" } + [folder])
        let page = "\(folder)/docs/acceptance.md"
        let edits: [(expression: String, complaint: String)] = [
            ("s/^\\(| W4 .*\\) changes nothing else/\\1 changes nothing/", "W4: there is no W4: a full range"),
            ("s/\\(| C19 .*\\)e2e.sh macvlan/\\1e2e.sh macvlon/", "C19: there is no hack/e2e.sh macvlon"),
            ("/^| R2 /d", "R2 does not name its test R2: of a 28"),
            ("s/^\\(| R4 .*\\)| `.*/\\1| all of them |/", "not a number, a statement and tests: | R4"),
        ]
        for edit in edits { try await runChecked("sed", ["-i", edit.expression, page]) }
        let outcome = try await run("\(folder)/hack/docs-check.sh")
        #expect(!outcome.succeeded)
        for edit in edits { #expect(outcome.errorText.contains("docs/acceptance.md: \(edit.complaint)"), "\(outcome)") }
    }
}
