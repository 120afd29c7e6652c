package import JSONText

/// A selector of objects by their labels (metav1.LabelSelector): all of its requirements must hold. One without any
/// selects everything.
package struct LabelSelector: Hashable, Sendable {
    package struct Requirement: Hashable, Sendable {
        package enum Operator: String, Hashable, Sendable, CaseIterable {
            case isIn = "In"
            /// Holds also where the label is absent.
            case notIn = "NotIn"
            case exists = "Exists"
            case doesNotExist = "DoesNotExist"
        }

        package var key: String
        package var `operator`: Operator
        package var values: [String]

        package init(_ key: String, _ operator: Operator, _ values: [String] = []) {
            self.key = key
            self.operator = `operator`
            self.values = values
        }

        package func matches(_ labels: [String: String]) -> Bool {
            switch (self.operator, labels[key]) {
            case (.isIn, let value?): values.contains(value)
            case (.isIn, nil): false
            case (.notIn, let value?): !values.contains(value)
            case (.notIn, nil): true
            case (.exists, let value): value != nil
            case (.doesNotExist, let value): value == nil
            }
        }
    }

    package var matchLabels: [String: String]
    package var matchExpressions: [Requirement]

    package init(matchLabels: [String: String] = [:], matchExpressions: [Requirement] = []) {
        self.matchLabels = matchLabels
        self.matchExpressions = matchExpressions
    }

    /// How many labels it looks at.
    package var requirementCount: Int { matchLabels.count + matchExpressions.count }

    package func matches(_ labels: [String: String]) -> Bool { unmet(by: labels) == nil }

    /// The first requirement that does not hold, in the form that kubectl takes: `tier=web`, `zone in (a,b)`.
    package func unmet(by labels: [String: String]) -> String? {
        for (key, value) in matchLabels.sorted(by: { $0.key < $1.key }) where labels[key] != value {
            return "\(key)=\(value)"
        }
        return matchExpressions.first { !$0.matches(labels) }?.description
    }

    /// Why the selector makes no sense: the member at fault and what is wrong with it. Nil when it does.
    package var problem: (member: String, text: String)? {
        for (index, requirement) in matchExpressions.enumerated() {
            let member = "matchExpressions[\(index)]"
            guard !requirement.key.isEmpty else { return ("\(member).key", "is empty") }
            switch requirement.operator {
            case .isIn, .notIn:
                if requirement.values.isEmpty {
                    return ("\(member).values", "\(requirement.operator.rawValue) needs at least one value")
                }
            case .exists, .doesNotExist:
                if !requirement.values.isEmpty {
                    return ("\(member).values", "\(requirement.operator.rawValue) takes no values")
                }
            }
        }
        return nil
    }
}

extension LabelSelector.Requirement: CustomStringConvertible {
    package var description: String {
        switch self.operator {
        case .isIn: "\(key) in (\(values.joined(separator: ",")))"
        case .notIn: "\(key) notin (\(values.joined(separator: ",")))"
        case .exists: key
        case .doesNotExist: "!\(key)"
        }
    }
}

extension LabelSelector {
    package init(_ fields: JSONFields) throws(JSONDecodingError) {
        self.init(matchLabels: try fields.stringMap("matchLabels") ?? [:])
        for fields in try fields.list("matchExpressions") ?? [] {
            let text = try fields.requiredString("operator")
            guard let `operator` = Requirement.Operator(rawValue: text) else {
                let known = Requirement.Operator.allCases.map(\.rawValue).joined(separator: ", ")
                throw fields.error("operator", "\(text.debugDescription) is none of \(known)")
            }
            matchExpressions.append(
                Requirement(try fields.requiredString("key"), `operator`, try fields.strings("values") ?? []))
        }
    }

    package var json: JSON {
        var json: JSON = [:]
        if !matchLabels.isEmpty {
            var labels: JSON = [:]
            for (key, value) in matchLabels.sorted(by: { $0.key < $1.key }) { labels[key] = .string(value) }
            json["matchLabels"] = labels
        }
        if !matchExpressions.isEmpty {
            json["matchExpressions"] = .array(
                matchExpressions.map { requirement in
                    var json: JSON = [
                        "key": .string(requirement.key), "operator": .string(requirement.operator.rawValue),
                    ]
                    if !requirement.values.isEmpty { json["values"] = .strings(requirement.values) }
                    return json
                })
        }
        return json
    }
}
