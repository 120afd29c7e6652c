import CNIProtocol
import Testing

private let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
private let span = "00f067aa0ba902b7"

struct TraceContextTests {
    @Test(arguments: [
        ("00-\(trace)-\(span)-01", true),
        ("00-\(trace)-\(span)-00", false),
        ("00-\(trace)-\(span)-fe", false),
        ("00-\(trace)-\(span)-ff", true),
        // A later version may add fields.
        ("01-\(trace)-\(span)-01", true),
        ("cc-\(trace)-\(span)-01-what-the-future-will-be", true),
    ])
    func `a valid header is read`(header: String, isSampled: Bool) throws {
        let context = try #require(TraceContext(traceparent: header))
        #expect(context.traceID == trace)
        #expect(context.parentID == span)
        #expect(context.isSampled == isSampled)
        #expect(TraceContext(environment: ["TRACEPARENT": header]) == context)
    }

    @Test(arguments: [
        "", "-", "---", "00", "00-\(trace)", "00-\(trace)-\(span)", "00-\(trace)-\(span)-",
        "00-\(trace)-\(span)-01-more", "ff-\(trace)-\(span)-01", "0-\(trace)-\(span)-01",
        "00-\(trace.uppercased())-\(span)-01", "00-\(trace)0-\(span)-01", "00-\(trace)-\(span)0-01",
        "00-\(trace)-\(span)-1", "00-\(trace)-\(span)-0g", "00-\(trace)-\(span)-+1", " 00-\(trace)-\(span)-01",
        "00-00000000000000000000000000000000-\(span)-01", "00-\(trace)-0000000000000000-01",
        "cc-\(trace)-\(span)-01.more",
    ])
    func `any other is ignored`(header: String) {
        #expect(TraceContext(traceparent: header) == nil)
    }

    @Test func `an absent header is no trace`() {
        #expect(TraceContext(environment: [:]) == nil)
    }
}
