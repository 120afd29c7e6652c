import JSONText
import KubernetesCore
import Testing

@Suite struct WatchEventTests {
    static func event(_ text: String) throws -> WatchEvent { try WatchEvent(parsing: Array(text.utf8)[...]) }

    static let object: JSON = ["metadata": ["name": "a", "resourceVersion": "9"]]

    @Test(
        arguments: [
            ("ADDED", .added(object)), ("MODIFIED", .modified(object)), ("DELETED", .deleted(object)),
            ("BOOKMARK", .bookmark(resourceVersion: "9")),
        ] as [(String, WatchEvent)])
    func `An event has its type, its object and its version`(type: String, expected: WatchEvent) throws {
        let event = try Self.event(#"{"type":"\#(type)","object":\#(Self.object)}"#)
        #expect(event == expected)
        #expect(event.resourceVersion == "9")
    }

    @Test func `An error event carries the Status`() throws {
        let event = try Self.event(#"{"type":"ERROR","object":\#(statusBody(410, "Expired", details: nil))}"#)
        #expect(event == .error(APIStatus(code: 410, reason: "Expired", message: "m")))
        #expect(event.resourceVersion == nil)
    }

    @Test func `An error event without a Status is an error all the same`() throws {
        guard case .error(let status) = try Self.event(#"{"type":"ERROR","object":{"a":1}}"#) else {
            Issue.record("no error")
            return
        }
        #expect(status.code == 0)
        #expect(status.message.contains("{\"a\":1}"))
    }

    @Test(arguments: [#"{}"#, #"{"metadata":{"resourceVersion":""}}"#, #"{"metadata":{"resourceVersion":7}}"#])
    func `An object without a version has none`(object: String) throws {
        #expect(try Self.event(#"{"type":"ADDED","object":\#(object)}"#).resourceVersion == nil)
        #expect(throws: WatchEventError.self) { try Self.event(#"{"type":"BOOKMARK","object":\#(object)}"#) }
    }

    @Test(arguments: [
        "", "x", "{}", "[]", #"{"type":"ADDED"}"#, #"{"type":"ADDED","object":7}"#, #"{"type":"ADDED","object":null}"#,
        #"{"type":"added","object":{}}"#, #"{"type":7,"object":{}}"#, #"{"object":{}}"#,
        #"{"type":"ADDED","object":{}} {"#,
    ])
    func `Anything else is no event`(text: String) {
        #expect(throws: WatchEventError.self) { try Self.event(text) }
    }
}
