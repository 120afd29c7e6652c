import JSONText
import Testing

struct JSONTests {
    @Test(
        arguments: [
            (nil, "null"), (true, "a boolean"), (1, "a number"), ("a", "a string"), ([], "a list"), ([:], "an object"),
        ] as [(JSON, String)])
    func `a value gives only what it is`(json: JSON, description: String) {
        #expect(json.kindDescription == description)
        #expect(json.isNull == (description == "null"))
        #expect((json.bool != nil) == (description == "a boolean"))
        #expect((json.int != nil) == (description == "a number"))
        #expect((json.string != nil) == (description == "a string"))
        #expect((json.array != nil) == (description == "a list"))
        #expect((json.object != nil) == (description == "an object"))
        #expect(json["a"] == nil)
    }

    @Test func `literals make values`() {
        let name = "b"
        #expect(JSON.number("5") == 5)
        #expect(JSON.string("a b") == "a \(name)")
        #expect(JSON.int(UInt128.max) == .number("340282366920938463463374607431768211455"))
        #expect(JSON.strings(["a", "b"]) == ["a", "b"])
        // A name that is written twice in a literal is one member.
        #expect((["a": 1, "a": 2] as JSON).object?.count == 1)
    }

    @Test func `a member is changed in its place, added at the end, and removed`() {
        var json: JSON = ["a": 1, "b": 2]
        json["a"] = 3
        json["c"] = "new"
        #expect(json.description == #"{"a":3,"b":2,"c":"new"}"#)
        json["a"] = nil as JSON?
        json["absent"] = nil as JSON?
        #expect(json.description == #"{"b":2,"c":"new"}"#)
        json["b"] = JSON.null
        #expect(json.description == #"{"b":null,"c":"new"}"#)
    }

    @Test func `a member within a member is changed in its place`() {
        var json: JSON = ["spec": ["a": 1, "list": [1]]]
        json["spec"]?["a"] = 2
        json["absent"]?["a"] = 2
        #expect(json.description == #"{"spec":{"a":2,"list":[1]}}"#)
    }

    @Test func `a member that was written twice is changed where it counts, and removed wholly`() throws {
        var json = try JSON(parsing: #"{"a":1,"b":2,"a":3}"#)
        json["a"] = 4
        #expect(json.description == #"{"a":1,"b":2,"a":4}"#)
        json["a"] = nil as JSON?
        #expect(json.description == #"{"b":2}"#)
    }

    @Test func `to set a member makes an object of anything, to remove one changes nothing else`() {
        var json: JSON = "text"
        json["a"] = nil as JSON?
        #expect(json == "text")
        json["a"] = 1
        #expect(json == ["a": 1])
    }

    @Test func `the order of members does not tell objects apart, that of elements does lists`() {
        let a: JSON = ["a": 1, "b": ["c": [1, 2], "d": nil]]
        let b: JSON = ["b": ["d": nil, "c": [1, 2]], "a": 1]
        #expect(a == b)
        #expect(a.hashValue == b.hashValue)
        #expect(a != ["a": 1, "b": ["c": [2, 1], "d": nil]])
        #expect(a != ["a": 1])
        // Null is a member, and numbers are their text.
        #expect((["a": nil] as JSON) != [:])
        #expect(JSON.number("1.0") != 1)
    }

    @Test func `names that only look alike are two members`() throws {
        // é as one scalar, and as e with an accent: Swift takes these texts for equal, JSON does not.
        let text = "{\"\u{E9}\":1,\"e\u{301}\":2}"
        var json = try JSON(parsing: text)
        #expect(json["\u{E9}"] == 1)
        #expect(json["e\u{301}"] == 2)
        json["\u{E9}"] = 3
        #expect(Array(json.description.utf8) == Array("{\"\u{E9}\":3,\"e\u{301}\":2}".utf8))
        json["e\u{301}"] = nil as JSON?
        #expect(json.object?.count == 1)
        #expect(json["\u{E9}"] == 3)
    }
}
