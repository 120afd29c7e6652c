import CNIProtocol
import IPAMAPI
import JSONText

/// The keys of the `ipam` section.
package enum ConfigurationKeys {
    /// What `berth.conf` may say of a node, and the `ipam` section over it.
    package static let node = [
        "kubeconfig", "nodeName", "machineIDFile", "journalDir", "logFile", "log_file", "logLevel", "log_level",
        "timeoutSeconds", "nodeAddresses", "namespaceAnnotations",
    ]

    private static let own =
        node + [
            "type", "configDir", "pools", "families", "range", "range_start", "range_end", "exclude", "ipRanges",
            "addresses", "gateway", "network_name", "routes", "dns",
        ]

    /// Of whereabouts, where they say how it stores and locks: of no weight here.
    private static let ofWhereabouts = [
        "kubernetes", "configuration_path", "datastore", "etcd_host", "etcd_username", "etcd_password",
        "etcd_key_file", "etcd_cert_file", "etcd_ca_cert_file", "enable_overlapping_ranges", "overlapping_ranges",
        "leader_lease_duration", "leader_renew_deadline", "leader_retry_period", "reconciler_cron_expression",
        "sleep_for_race", "node_slice_size",
    ]

    /// - Throws: Code 7 for a key that is almost one of Berth's, which ignored would change what a pod gets.
    static func refuseMisspelt(_ ipam: JSONFields) throws(CNIError) {
        for key in ipam.object.members.map(\.name) where !ofWhereabouts.contains(key) {
            guard let meant = Misspelling.meant(by: key, among: own) else { continue }
            throw CNIError(invalid: ipam.error(key, "unknown; is \"\(meant)\" meant?"))
        }
    }

    /// For a section that names neither pools nor ranges: what is of another plugin would be served from default pools.
    ///
    /// - Throws: Code 7 for a key that nobody knows.
    static func refuseUnknown(_ ipam: JSONFields) throws(CNIError) {
        let known = own + ofWhereabouts
        guard let key = ipam.object.members.map(\.name).first(where: { !known.contains($0) }) else { return }
        throw CNIError(
            invalid: ipam.error(
                key,
                "unknown, and neither pools nor a range is named; name IPPools in order of preference, for example"
                    + " \"pools\": [\"blue-v4\", \"blue-v6\"], or remove it for annotations and default pools to decide"
            ))
    }
}
