import JSONText
import TestSupport
import Testing

/// Checks what holds of every failure: one JSON object and nothing else on standard output, a status that is not 0, and
/// the code; and that what kubelet shows of it (`msg; details`) has all of the texts.
@discardableResult
func expectFailure(
    _ outcome: PluginOutcome, code: Int, says texts: [String] = [], version: String = "1.1.0",
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> PluginOutcome.Failure {
    // Killed is not failed.
    let isExit = if case .exited(let status) = outcome.process.ending { status != 0 } else { false }
    try #require(isExit, "should have failed with code \(code): \(outcome)", sourceLocation: sourceLocation)
    // `output` is all of standard output, so more than one value there would make it nil.
    let json = try #require(outcome.output?.object, "\(outcome)", sourceLocation: sourceLocation)
    #expect(Set(json.names).isSubset(of: ["cniVersion", "code", "msg", "details"]), sourceLocation: sourceLocation)
    #expect(json["cniVersion"]?.string == version, sourceLocation: sourceLocation)
    let failure = try #require(outcome.failure, "\(outcome)", sourceLocation: sourceLocation)
    #expect(failure.code == code, "\(failure)", sourceLocation: sourceLocation)
    #expect(!failure.message.isEmpty, sourceLocation: sourceLocation)
    let shown = "\(failure.message); \(failure.details)"
    for text in texts {
        #expect(shown.contains(text), "\(shown)", sourceLocation: sourceLocation)
    }
    return failure
}

/// Checks that a verb without a result succeeded and printed nothing.
func expectSilentSuccess(_ outcome: PluginOutcome, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(outcome.succeeded, "\(outcome)", sourceLocation: sourceLocation)
    #expect(outcome.process.output.isEmpty, sourceLocation: sourceLocation)
}

/// Makes calls side by side, at most 16 at a time, and gives their answers in order.
func concurrently<Input: Sendable, Answer: Sendable>(
    _ inputs: [Input], width: Int = 16, _ body: @escaping @Sendable (Input) async throws -> Answer
) async throws -> [Answer] {
    try await withThrowingTaskGroup(of: (Int, Answer).self) { group in
        var answers: [Answer?] = Array(repeating: nil, count: inputs.count)
        for (index, input) in inputs.enumerated() {
            if index >= width, let (index, answer) = try await group.next() { answers[index] = answer }
            group.addTask { (index, try await body(input)) }
        }
        for try await (index, answer) in group { answers[index] = answer }
        return answers.compactMap(\.self)
    }
}
