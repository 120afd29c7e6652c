import TestSupport
import Testing

@Suite("Scripts in hack", .timeLimit(.minutes(1)))
struct HackScriptTests {
    @Test(
        arguments: [
            "bench", "build", "chart-apply", "chart-check", "control-plane", "curl-stubs", "demo", "kubernetes",
            "policy-check", "render", "setup", "test",
        ])
    func `a script finds its neighbours when it is called through a symbolic link`(script: String) async throws {
        let folder = try Files.makeTemporaryFolder("link")
        defer { try? Files.removeTree(folder) }
        try await runChecked("ln", ["-s", "\(Repository.root)/hack/\(script).sh", "\(folder)/\(script)"])
        let outcome = try await run("\(folder)/\(script)", ["--help"])
        #expect(outcome.succeeded, "\(outcome)")
        #expect(outcome.errorText.isEmpty)
    }
}
