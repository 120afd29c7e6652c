import IPAMAPI
import IPAddressing
import JSONText
import KubernetesCore
import Testing

@testable import IPAMLedger

@Suite struct PoolScannerTests {
    private func table(columns: JSON = ["Name", "Pool", "State"], rows: [[JSON]]) -> JSON {
        let names = columns.array ?? []
        return [
            "kind": "Table", "apiVersion": "meta.k8s.io/v1",
            "columnDefinitions": .array(names.map { ["name": $0, "type": "string"] }),
            "rows": .array(rows.map { ["cells": .array($0), "object": nil] }),
        ]
    }

    private func scanned(_ json: JSON) -> [String] {
        PoolScanner.allocations(inTable: json).map { "\($0.address) \($0.state?.rawValue ?? "?")" }
    }

    @Test func `a row is the address in its name and its state`() {
        let rows: [[JSON]] = [
            ["10.0.0.5", "blue", "Bound"], ["10.0.0.6", "blue", "Cooling"], ["10.0.0.7", "blue", "Held"],
            ["10.0.0.8", "blue", "Fenced"], ["fd00-0000-0000-0000-0000-0000-0000-0007", "blue", "Bound"],
            ["wire.10.0.0.9", "blue", "Bound"],
        ]
        #expect(
            scanned(table(rows: rows)) == [
                "10.0.0.5 Bound", "10.0.0.6 Cooling", "10.0.0.7 Held", "10.0.0.8 Fenced", "fd00::7 Bound",
                "10.0.0.9 Bound",
            ])
    }

    @Test func `columns are found by their names, wherever they stand and however they are written`() {
        #expect(
            scanned(table(columns: ["STATE", "Age", "NAME"], rows: [["Cooling", "5m", "10.0.0.5"]]))
                == ["10.0.0.5 Cooling"])
    }

    @Test func `a row that cannot be understood is left out, and a state that cannot is none`() {
        let rows: [[JSON]] = [
            ["web-0", "blue", "Bound"], ["", "blue", "Bound"], [5, "blue", "Bound"], [nil, "blue", "Bound"], [],
            ["10.0.0.05", "blue", "Bound"], ["10.0.0.6", "blue", "Melting"], ["10.0.0.7", "blue", nil],
            ["10.0.0.8", "blue"], ["10.0.0.9"],
        ]
        #expect(scanned(table(rows: rows)) == ["10.0.0.6 ?", "10.0.0.7 ?", "10.0.0.8 ?", "10.0.0.9 ?"])
    }

    @Test func `a table without states has addresses all the same`() {
        #expect(scanned(table(columns: ["Name"], rows: [["10.0.0.5"]])) == ["10.0.0.5 ?"])
    }

    @Test(
        arguments: [
            [:], nil, "Table", ["rows": []], ["rows": [["cells": ["10.0.0.5"]]]],
            ["columnDefinitions": [["name": "Name"]]],
            ["columnDefinitions": [["name": "State"]], "rows": [["cells": ["Bound"]]]],
            ["columnDefinitions": [["name": "Name"]], "rows": [["cells": "10.0.0.5"], nil, "10.0.0.5", [:]]],
            ["columnDefinitions": "Name", "rows": [["cells": ["10.0.0.5"]]]],
            ["kind": "IPAllocationList", "items": [["metadata": ["name": "10.0.0.5"]]]],
        ] as [JSON])
    func `what is no table has no rows`(json: JSON) {
        #expect(scanned(json).isEmpty)
    }

    @Test func `the server's cache is asked for rows without objects`() throws {
        let request = PoolScanner.request(try pool("10.0.0.0/24"), .everything)
        #expect(
            request.pathAndQuery
                == "/apis/ipam.berth.dev/v1alpha1/ipallocations?labelSelector=ipam.berth.dev%2Fpool%3Dblue"
                + "&resourceVersion=0&includeObject=None")
        #expect(request.headers == [APIRequest.Header("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1")])
    }

    @Test func `of a full pool only the cooling addresses are asked for`() throws {
        let request = PoolScanner.request(try pool("10.0.0.0/24"), .cooling)
        #expect(
            request.query.first
                == APIRequest.QueryItem(
                    "labelSelector", "ipam.berth.dev/pool=blue,ipam.berth.dev/state=Cooling"))
    }
}
