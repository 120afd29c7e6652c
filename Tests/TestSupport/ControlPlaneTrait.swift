package import Testing

extension Trait where Self == ConditionTrait {
    /// For tests of a real API server. They are skipped without one; in CI they run all the same and fail.
    package static var controlPlane: Self {
        .enabled(if: ControlPlane.shared != nil || Environment.value("CI") != nil, "\(ControlPlane.remedy)")
    }
}

extension ControlPlane {
    /// What one test checks, so that a run in CI that would skip the others fails in plain words.
    package static func checkThatCIHasOne() throws {
        guard shared == nil, Environment.value("CI") != nil else { return }
        throw TestSetUpError("CI is set and \(variable) is not: \(remedy)")
    }
}
