import KubernetesRuntime
import Testing

@Suite struct ObjectKeyTests {
    @Test func `A key is written as kubectl writes it`() {
        #expect("\(ObjectKey(namespace: "default", name: "web-0"))" == "default/web-0")
        #expect("\(ObjectKey(name: "10.0.0.1"))" == "10.0.0.1")
    }

    @Test func `Keys are in the order of their namespaces and then of their names`() {
        let sorted = [
            ObjectKey(name: "b"), ObjectKey(namespace: "a", name: "x"), ObjectKey(namespace: "a", name: "y"),
            ObjectKey(namespace: "b", name: "a"),
        ]
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<20 { #expect(sorted.shuffled(using: &generator).sorted() == sorted) }
    }
}
