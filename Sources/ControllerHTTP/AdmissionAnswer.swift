/// What a webhook says of a change.
package struct AdmissionAnswer: Hashable, Sendable {
    package enum Cause: Int, Sendable {
        /// The change is well-formed and not allowed in the present state.
        case forbidden = 403
        /// The object itself is wrong.
        case invalid = 422

        /// `reason` of a Status (meta/v1).
        var statusReason: String {
            switch self {
            case .forbidden: "Forbidden"
            case .invalid: "Invalid"
            }
        }
    }

    package struct Refusal: Hashable, Sendable {
        package let cause: Cause
        /// The API server puts `admission webhook "…" denied the request: ` in front of it.
        package let message: String
    }

    /// Nil when the change is allowed.
    package let refusal: Refusal?
    /// For the person at the client, which prints each as a line. The API server has passed them on since 1.19.
    package let warnings: [String]

    package static func allowed(warnings: [String] = []) -> AdmissionAnswer {
        AdmissionAnswer(refusal: nil, warnings: warnings)
    }

    package static func refused(_ cause: Cause, _ message: String, warnings: [String] = []) -> AdmissionAnswer {
        AdmissionAnswer(refusal: Refusal(cause: cause, message: message), warnings: warnings)
    }
}

extension AdmissionAnswer {
    /// The API server passes on at most 4,096 characters of warnings.
    static let maximumWarnings = 16
    /// Longer ones the API server may cut.
    static let maximumWarningBytes = 256

    /// A warning as it can be an HTTP header, which the API server makes of it: without control characters, and cut
    /// between characters, with an ellipsis in place of the rest.
    static func warningText(_ warning: String) -> String {
        var text = String.UnicodeScalarView()
        for scalar in warning.unicodeScalars {
            text.append(scalar.properties.generalCategory == .control ? " " : scalar)
        }
        let clean = String(text)
        guard clean.utf8.count > maximumWarningBytes else { return clean }
        let ellipsis = "…"
        var cut = ""
        var room = maximumWarningBytes - ellipsis.utf8.count
        for character in clean {
            room -= character.utf8.count
            guard room >= 0 else { break }
            cut.append(character)
        }
        return cut + ellipsis
    }
}
