import JSONText
import Testing

private func fields(_ json: JSON, path: String = "") throws -> JSONFields { try JSONFields(json, path: path) }

/// The error of a body as text.
private func problem(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch {
        return "\(error)"
    }
}

struct JSONFieldsTests {
    @Test func `each accessor reads its type`() throws {
        let fields = try fields([
            "string": "a", "bool": false, "int": -5, "list": [1, "a"], "strings": ["a", "b"], "object": ["a": 1],
            "objects": [["a": "x"], [:]], "map": ["k": "v", "none": nil],
        ])
        #expect(try fields.string("string") == "a")
        #expect(try fields.requiredString("string") == "a")
        #expect(try fields.bool("bool") == false)
        #expect(try fields.int("int") == -5)
        #expect(try fields.requiredInt("int") == -5)
        #expect(try fields.array("list") == [1, "a"])
        #expect(try fields.strings("strings") == ["a", "b"])
        #expect(try fields.fields("object")?.value("a") == 1)
        #expect(try fields.requiredFields("object").path == "object")
        #expect(try fields.list("objects")?.map(\.path) == ["objects[0]", "objects[1]"])
        #expect(try fields.list("objects")?.first?.string("a") == "x")
        #expect(try fields.stringMap("map") == ["k": "v"])
    }

    @Test(arguments: [[:], ["a": nil]] as [JSON])
    func `absent and null are the same`(json: JSON) throws {
        let fields = try fields(json)
        #expect(!fields.has("a"))
        #expect(fields.value("a") == nil)
        #expect(try fields.string("a") == nil)
        #expect(try fields.bool("a") == nil)
        #expect(try fields.int("a") == nil)
        #expect(try fields.array("a") == nil)
        #expect(try fields.strings("a") == nil)
        #expect(try fields.fields("a") == nil)
        #expect(try fields.list("a") == nil)
        #expect(try fields.stringMap("a") == nil)
        #expect(problem { _ = try fields.requiredString("a") } == "a: missing")
        #expect(problem { _ = try fields.requiredInt("a") } == "a: missing")
        #expect(problem { _ = try fields.requiredFields("a") } == "a: missing")
    }

    @Test func `empty is not absent`() throws {
        let fields = try fields(["s": "", "l": [], "o": [:]])
        #expect(fields.has("s"))
        #expect(try fields.string("s") == "")
        #expect(try fields.strings("l") == [])
        #expect(try fields.list("l")?.count == 0)
        #expect(try fields.stringMap("o") == [:])
    }

    @Test func `another type is an error that names the path and both types`() throws {
        let spec = try fields(["spec": ["a": 1, "t": "x", "f": .number("1.5")]])
            .requiredFields("spec")
        #expect(problem { _ = try spec.string("a") } == "spec.a: expected a string, found a number")
        #expect(problem { _ = try spec.bool("a") } == "spec.a: expected true or false, found a number")
        #expect(problem { _ = try spec.int("t") } == "spec.t: expected an integer, found a string")
        #expect(problem { _ = try spec.int("f") } == "spec.f: expected an integer, found a number")
        #expect(problem { _ = try spec.array("t") } == "spec.t: expected a list, found a string")
        #expect(problem { _ = try spec.strings("t") } == "spec.t: expected a list, found a string")
        #expect(problem { _ = try spec.fields("t") } == "spec.t: expected an object, found a string")
        #expect(problem { _ = try spec.list("t") } == "spec.t: expected a list, found a string")
        #expect(problem { _ = try spec.stringMap("t") } == "spec.t: expected an object, found a string")
        #expect(problem { _ = try spec.requiredString("a") } == "spec.a: expected a string, found a number")
        #expect(problem { _ = try spec.requiredInt("t") } == "spec.t: expected an integer, found a string")
        #expect(problem { _ = try spec.requiredFields("a") } == "spec.a: expected an object, found a number")
    }

    @Test func `an element of another type is named by its index`() throws {
        let fields = try fields(
            ["pools": ["a", 5], "none": [nil], "list": [[:], []], "map": ["k": true]], path: "ipam")
        #expect(problem { _ = try fields.strings("pools") } == "ipam.pools[1]: expected a string, found a number")
        #expect(problem { _ = try fields.strings("none") } == "ipam.none[0]: expected a string, found null")
        #expect(problem { _ = try fields.list("list") } == "ipam.list[1]: expected an object, found a list")
        #expect(problem { _ = try fields.stringMap("map") } == "ipam.map.k: expected a string, found a boolean")
    }

    @Test(arguments: [("", "expected an object, found a list"), ("a[0]", "a[0]: expected an object, found a list")])
    func `what is no object has no fields`(path: String, message: String) {
        #expect(problem { _ = try fields([], path: path) } == message)
    }

    @Test func `an error about a member can be made by its reader`() throws {
        let inner = try fields(["a": ["b": "x"]]).requiredFields("a")
        #expect(inner.error("b", "is not an address") == JSONDecodingError(path: "a.b", problem: "is not an address"))
        #expect(inner.path(of: "b") == "a.b")
    }
}
