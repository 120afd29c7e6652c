import Testing

@testable import IPAMAPI

@Suite struct MisspellingTests {
    @Test(arguments: [
        ("Pools", "pools"), ("pool", "pools"), ("pols", "pools"), ("poosl", "pools"), ("address", "addresses"),
        ("family", "families"), ("range-start", "range_start"), ("rangeStart", "range_start"), ("rnge", "range"),
    ])
    func `what is almost a key was meant for it`(word: String, meant: String) {
        let keys = ["pools", "addresses", "families", "range", "range_start"]
        #expect(Misspelling.meant(by: word, among: keys) == meant)
    }

    @Test(arguments: ["pools", "subnet", "comment", "type", "dns", "", "rangeEnd", "addr"])
    func `what is one, or is like none, is no mistake`(word: String) {
        #expect(Misspelling.meant(by: word, among: ["pools", "addresses", "range_start", "mtu"]) == nil)
    }

    @Test func `keys of pods are looked at without the interface, and those of other groups not at all`() {
        #expect(AnnotationKey.meant(by: "ipam.berth.dev/pool.net1") == AnnotationKey.pools)
        #expect(AnnotationKey.meant(by: "ipam.berth.dev/pools.net1") == nil)
        #expect(AnnotationKey.meant(by: "ipam.berth.dev/Claim") == AnnotationKey.claim)
        #expect(AnnotationKey.meant(by: "example.org/pool") == nil)
        #expect(AnnotationKey.meant(by: "ipam.berth.dev/description") == nil)
    }
}
