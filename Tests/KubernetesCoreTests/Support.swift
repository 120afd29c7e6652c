import JSONText
import KubernetesCore

extension ResourceType {
    static let berths = ResourceType(
        group: "ipam.berth.dev", version: "v1alpha1", plural: "ipallocations", kind: "IPAllocation",
        isNamespaced: false)
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Always the largest number, so that a jittered delay is its maximum.
struct LargestGenerator: RandomNumberGenerator {
    mutating func next() -> UInt64 { .max }
}

let getBerth = APIRequest.get(.berths, name: "10.0.0.1")
let createBerth = APIRequest.create(.berths, name: "10.0.0.1", object: ["metadata": ["name": "10.0.0.1"]])

/// The Status of a server, as a body.
func statusBody(
    _ code: Int, _ reason: String, message: String = "m", details: JSON? = ["name": "10.0.0.1"]
) -> JSON {
    var body: JSON = [
        "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure", "message": .string(message),
        "reason": .string(reason), "code": .int(code),
    ]
    body["details"] = details
    return body
}

let berthDetails: JSON = ["name": "10.0.0.1", "group": "ipam.berth.dev", "kind": "ipallocations"]

func response(
    _ status: Int, _ body: JSON, contentType: String? = "application/json", retryAfter: Duration? = nil
) -> Reply {
    .success(
        HTTPResponse(status: status, body: body.serialized(), contentType: contentType, retryAfter: retryAfter))
}

func response(_ status: Int, text: String, contentType: String? = "text/plain", retryAfter: Duration? = nil) -> Reply {
    .success(HTTPResponse(status: status, body: Array(text.utf8), contentType: contentType, retryAfter: retryAfter))
}

func failure(_ kind: TransportFailure.Kind, sent: Bool) -> Reply {
    .failure(TransportFailure(kind: kind, message: "m", mayHaveBeenSent: sent))
}

func apiError(_ reply: Reply, to request: APIRequest = getBerth) -> APIError? {
    if case .failure(let error) = interpret(reply, to: request) { error } else { nil }
}
