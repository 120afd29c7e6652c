import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore

/// What a responder knows of the connection.
struct ConnectionContext: InitializableFromSource {
    let channel: any Channel

    init(source: ApplicationRequestContextSource) { channel = source.channel }
}

/// Lets an endpoint answer the requests of a server.
struct EndpointResponder<E: Endpoint>: HTTPResponder {
    let endpoint: E
    let limits: ServerLimits

    func respond(to request: Request, context: ConnectionContext) async throws -> Response {
        let head = RequestHead(
            method: request.method.rawValue, path: request.uri.path, contentType: request.headers[.contentType])
        let reply: HTTPReply
        switch endpoint.admit(head) {
        case .reply(let early):
            closeIfMoreComes(request, channel: context.channel)
            reply = early
        case .withoutBody:
            closeIfMoreComes(request, channel: context.channel)
            reply = await endpoint.reply(to: head, body: [])
        case .withBody(let limit):
            if let body = try await body(of: request, limit: limit, channel: context.channel) {
                reply = await endpoint.reply(to: head, body: body)
            } else {
                closeIfMoreComes(request, channel: context.channel)
                reply = .tooLarge(limit: limit)
            }
        }
        let response = Self.response(reply)
        return head.method == "HEAD" ? response.createHeadResponse() : response
    }

    /// Nil when there is more than the limit.
    private func body(of request: Request, limit: Int, channel: any Channel) async throws -> [UInt8]? {
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit { return nil }
        // A client that sends slowly is cut off without an answer: there is nobody to read one.
        let timer = channel.eventLoop.scheduleTask(in: limits.body.timeAmount) { channel.close(promise: nil) }
        defer { timer.cancel() }
        var bytes: [UInt8] = []
        for try await chunk in request.body {
            guard bytes.count + chunk.readableBytes <= limit else { return nil }
            bytes.append(contentsOf: chunk.readableBytesView)
        }
        return bytes
    }

    /// A body that nobody asked for may have any length, and the server would read it to its end.
    private func closeIfMoreComes(_ request: Request, channel: any Channel) {
        guard request.headers[.contentLength] != "0",
            request.headers[.contentLength] != nil || request.headers[.transferEncoding] != nil
        else { return }
        channel.eventLoop.scheduleTask(in: limits.linger.timeAmount) { channel.close(promise: nil) }
    }

    private static func response(_ reply: HTTPReply) -> Response {
        var headers = HTTPFields()
        headers[.contentType] = reply.contentType
        headers[.xContentTypeOptions] = "nosniff"
        if !reply.allowedMethods.isEmpty { headers[.allow] = reply.allowedMethods.joined(separator: ", ") }
        return Response(
            status: HTTPResponse.Status(code: reply.status), headers: headers,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: reply.body)))
    }
}
