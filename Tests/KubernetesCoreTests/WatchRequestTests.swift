import KubernetesCore
import Testing

@Suite struct WatchRequestTests {
    @Test func `A watch is a GET of the collection`() {
        let request = APIRequest.watch(
            .pods, namespace: "default",
            options: WatchOptions(
                labelSelector: "a in (b,c)", fieldSelector: "status.phase=Failed", resourceVersion: "12",
                timeoutSeconds: 300, metadataOnly: true))
        #expect(request.method == .get)
        #expect(
            request.pathAndQuery == "/api/v1/namespaces/default/pods?watch=1&labelSelector=a%20in%20%28b%2Cc%29"
                + "&fieldSelector=status.phase%3DFailed&resourceVersion=12&allowWatchBookmarks=true&timeoutSeconds=300")
        #expect(
            request.headers == [
                .init("Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json")
            ])
        #expect(request.body == nil)
        #expect(!request.isMutation)
        #expect("\(request.subject)" == "watch pods in namespace \"default\"")
        #expect(request.limited(to: .seconds(1)) == request)
    }

    @Test func `A watch with the defaults asks for bookmarks alone`() {
        let request = APIRequest.watch(.berths, options: WatchOptions(resourceVersion: "0"))
        #expect(
            request.pathAndQuery
                == "/apis/ipam.berth.dev/v1alpha1/ipallocations?watch=1&resourceVersion=0&allowWatchBookmarks=true")
        #expect(request.headers == [.init("Accept", "application/json")])
        let bare = APIRequest.watch(
            .berths, options: WatchOptions(resourceVersion: "0", allowWatchBookmarks: false))
        #expect(bare.query.map(\.name) == ["watch", "resourceVersion"])
    }
}
