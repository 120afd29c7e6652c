import JSONText

extension JSON {
    /// The value as YAML 1.2 in block style, members in their order. Ends in a line feed.
    package var yaml: String {
        var output = ""
        YAMLText.append(self, to: &output, indentation: 0, isInline: false)
        return output
    }
}

private enum YAMLText {
    /// - Parameter isInline: The value begins in the line of its key or dash.
    static func append(_ json: JSON, to output: inout String, indentation: Int, isInline: Bool) {
        switch json {
        case .object(let object) where !object.isEmpty:
            for (index, member) in object.members.enumerated() {
                if !(isInline && index == 0) { output += spaces(indentation) }
                output += "\(scalar(member.name)):"
                appendValue(member.value, to: &output, indentation: indentation)
            }
        case .array(let elements) where !elements.isEmpty:
            for (index, element) in elements.enumerated() {
                if !(isInline && index == 0) { output += spaces(indentation) }
                output += "- "
                append(element, to: &output, indentation: indentation + 2, isInline: true)
            }
        default: output += "\(text(json))\n"
        }
    }

    private static func appendValue(_ value: JSON, to output: inout String, indentation: Int) {
        switch value {
        case .object(let object) where !object.isEmpty:
            output += "\n"
            append(value, to: &output, indentation: indentation + 2, isInline: false)
        case .array(let elements) where !elements.isEmpty:
            output += "\n"
            append(value, to: &output, indentation: indentation, isInline: false)
        default: output += " \(text(value))\n"
        }
    }

    private static func spaces(_ count: Int) -> String { String(repeating: " ", count: count) }

    private static func text(_ json: JSON) -> String {
        switch json {
        case .string(let text): scalar(text)
        case .object: "{}"
        case .array: "[]"
        case .null, .bool, .number: json.description
        }
    }

    /// Plain where no reader of YAML can take the text for anything but a string, else in double quotes, as in JSON.
    private static func scalar(_ text: String) -> String { isPlain(text) ? text : JSON.string(text).description }

    private static func isPlain(_ text: String) -> Bool {
        guard let first = text.utf8.first, isLetter(first), !reserved.contains(text.lowercased()) else { return false }
        return text.utf8.last != UInt8(ascii: " ")
            && text.utf8.allSatisfy { byte in
                isLetter(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || "-_./ ".utf8.contains(byte)
            }
    }

    private static let reserved: Set = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"]

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }
}
