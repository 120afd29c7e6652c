extension JSON {
    /// The value as compact JSON text in UTF-8, members in their order.
    package func serialized() -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(512)
        append(to: &output)
        return output
    }

    /// The value over several lines, indented by two spaces, without a line feed at the end.
    package func serializedPretty() -> [UInt8] {
        var output: [UInt8] = []
        append(to: &output, indentation: 0)
        return output
    }

    /// `indentation` is the depth for text over several lines, nil for compact text.
    private func append(to output: inout [UInt8], indentation: Int? = nil) {
        switch self {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .number(let text): output.append(contentsOf: text.utf8)
        case .string(let text): Self.append(text, to: &output)
        case .array(let elements):
            Self.appendList(elements, "[", "]", to: &output, indentation) { element, output, deeper in
                element.append(to: &output, indentation: deeper)
            }
        case .object(let object):
            Self.appendList(object.members, "{", "}", to: &output, indentation) { member, output, deeper in
                Self.append(member.name, to: &output)
                output.append(UInt8(ascii: ":"))
                if deeper != nil { output.append(UInt8(ascii: " ")) }
                member.value.append(to: &output, indentation: deeper)
            }
        }
    }

    private static func appendList<Element>(
        _ elements: [Element], _ opening: Unicode.Scalar, _ closing: Unicode.Scalar, to output: inout [UInt8],
        _ indentation: Int?, _ appendElement: (Element, inout [UInt8], Int?) -> Void
    ) {
        output.append(UInt8(ascii: opening))
        for (index, element) in elements.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            if let indentation { appendLine(to: &output, indentation: indentation + 1) }
            appendElement(element, &output, indentation.map { $0 + 1 })
        }
        if let indentation, !elements.isEmpty { appendLine(to: &output, indentation: indentation) }
        output.append(UInt8(ascii: closing))
    }

    private static func appendLine(to output: inout [UInt8], indentation: Int) {
        output.append(UInt8(ascii: "\n"))
        output.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indentation * 2))
    }

    private static func append(_ text: String, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                output.append(UInt8(ascii: "\\"))
                output.append(byte)
            case UInt8(ascii: "\n"): output.append(contentsOf: "\\n".utf8)
            case UInt8(ascii: "\t"): output.append(contentsOf: "\\t".utf8)
            case UInt8(ascii: "\r"): output.append(contentsOf: "\\r".utf8)
            case 0..<0x20:
                output.append(contentsOf: "\\u00".utf8)
                output.append(hexDigit(byte >> 4))
                output.append(hexDigit(byte & 0xF))
            default: output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
