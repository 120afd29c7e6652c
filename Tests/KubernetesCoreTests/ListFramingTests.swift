import JSONText
import KubernetesCore
import Testing

@Suite struct ListFramingTests {
    /// The items and the rest of a list that arrives in chunks of this size.
    static func cut(_ text: String, chunk: Int, itemLimit: Int = 1000, envelopeLimit: Int = 1000) throws -> (
        items: [JSON], envelope: JSON
    ) {
        var framing = ListFraming(maximumItemLength: itemLimit, maximumEnvelopeLength: envelopeLimit)
        var items: [JSON] = []
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: chunk) {
            items += try framing.append(Array(bytes[start..<min(start + chunk, bytes.count)]))
        }
        return (items, try framing.finish())
    }

    static let chunkSizes = [1, 2, 3, 5, 7, 16, 1000]

    @Test(arguments: [
        // As the API server writes it.
        """
        {"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"abc"},"items":[
        {"metadata":{"name":"a"}},{"metadata":{"name":"b","labels":{"items":"[{"}}}]}
        """,
        #"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[]}"#,
        #"{"kind":"PodList","items":[ ] , "metadata":{"resourceVersion":"7"}}"#,
        // The metadata come after the items.
        #"{"items":[{"a":[1,{"b":[]}]},{"c":"]}\"\\"}],"metadata":{"resourceVersion":"7","items":[1]}}"#,
        // What no server sends.
        #"{"items":[1,-2.5e3,"x]","",null,true,[{"items":[3]}],{}]}"#,
        #"{"items":null,"other":[1]}"#, #"{"items":{"a":[1]}}"#, #"{"x":"items","y":["a"]}"#,
        #"{"a":{"items":[1]}}"#, #"[["items"],["items",[1]]]"#, #"["items",[1]]"#, #""items""#, "{}", "[]", "7",
    ])
    func `Items and rest together are the list`(text: String) throws {
        let whole = try JSON(parsing: text)
        var expected = whole
        if whole["items"]?.array != nil { expected["items"] = [] }
        for chunk in Self.chunkSizes {
            let (items, envelope) = try Self.cut(text, chunk: chunk)
            #expect(items == whole["items"]?.array ?? [], "in chunks of \(chunk)")
            #expect(envelope == expected, "in chunks of \(chunk)")
        }
    }

    @Test func `A Status comes out whole`() throws {
        let body = statusBody(410, "Expired")
        let result = try Self.cut("\(body)\n", chunk: 11)
        #expect(result.items.isEmpty)
        #expect(result.envelope == body)
    }

    @Test func `Version and continue token are read from the rest`() throws {
        let text = #"{"metadata":{"resourceVersion":"7","continue":"abc"},"items":[{"x":1}]}"#
        let list = try ObjectList(Self.cut(text, chunk: 9).envelope)
        #expect(list.resourceVersion == "7")
        #expect(list.continueToken == "abc")
        #expect(list.items.isEmpty)
    }

    @Test(arguments: [
        // Cut off.
        "", "{", #"{"items":["#, #"{"items":[{"a":1}"#, #"{"items":[{"a":1}]"#, #"{"items":[{"a":1},"#, #"{"items":[1"#,
        // Commas.
        #"{"items":[{}{}]}"#, #"{"items":[{},]}"#, #"{"items":[,{}]}"#, #"{"items":[{},,{}]}"#, #"{"items":["a""b"]}"#,
        // Brackets.
        #"{"items":[{]}]}"#, #"{"items":[{"a":[}]}]}"#, #"{"items":[{}}]}"#, #"{"items":[}]}"#, #"{"items":[{}]}}"#,
        // Items and rests that are not JSON.
        #"{"items":[nul]}"#, #"{"items":[1 2]}"#, #"{"items":[{a:1}]}"#, #"{"items":[{}] "x":1}"#, #"{"items":[{}]}x"#,
        "<html>",
    ])
    func `What is not JSON is refused, however it is cut`(text: String) {
        #expect(throws: JSONSyntaxError.self) { try JSON(parsing: text) }
        for chunk in Self.chunkSizes {
            #expect(throws: ListFramingError.self, "in chunks of \(chunk)") { try Self.cut(text, chunk: chunk) }
        }
    }

    @Test func `An item and the rest are bounded, whole or in pieces`() throws {
        let item = #"{"a":"1234567890"}"#
        let text = #"{"metadata":{},"items":[\#(item),\#(item)]}"#
        let envelope = text.utf8.count - 2 * item.utf8.count - 1
        for chunk in Self.chunkSizes {
            let items = try Self.cut(text, chunk: chunk, itemLimit: item.utf8.count, envelopeLimit: envelope).items
            #expect(items.count == 2)
            #expect(throws: ListFramingError.self) {
                try Self.cut(text, chunk: chunk, itemLimit: item.utf8.count - 1)
            }
            #expect(throws: ListFramingError.self) {
                try Self.cut(text, chunk: chunk, envelopeLimit: envelope - 1)
            }
        }
    }

    @Test func `Random lists survive random cuts`() throws {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<300 {
            let items = (0..<Int.random(in: 0...6, using: &generator)).map { _ in
                Self.value(depth: 3, using: &generator)
            }
            var list: JSON = ["kind": "L", "metadata": ["resourceVersion": "1"]]
            list["items"] = .array(items)
            let bytes = list.serialized()
            var framing = ListFraming()
            var found: [JSON] = []
            var start = 0
            while start < bytes.count {
                let end = Int.random(in: start...min(start + 20, bytes.count), using: &generator)
                found += try framing.append(Array(bytes[start..<end]))
                start = end
            }
            #expect(found == items)
            #expect(try framing.finish()["items"] == [])
        }
    }

    static func value(depth: Int, using generator: inout SeededGenerator) -> JSON {
        switch Int.random(in: 0...(depth > 0 ? 5 : 3), using: &generator) {
        case 0: return .int(Int.random(in: -9...9, using: &generator))
        case 1: return Bool.random(using: &generator) ? .null : .bool(true)
        case 2, 3: return .string(["", "a\"b", "\\", "[{", "]},", "é\n"].randomElement(using: &generator) ?? "")
        case 4:
            return .array(
                (0..<Int.random(in: 0...3, using: &generator)).map { _ in value(depth: depth - 1, using: &generator) })
        default:
            var object: JSON = [:]
            for name in ["items", "a]", "b"].prefix(Int.random(in: 0...3, using: &generator)) {
                object[name] = value(depth: depth - 1, using: &generator)
            }
            return object
        }
    }
}
