extension BerthController {
    /// Of all options that take a value.
    static let optionNames = [
        "kubeconfig", "namespace", "lease-name", "identity", "lease-duration", "grace-period", "node-lost-timeout",
        "inline-pool-lifetime", "status-interval", "reclaim-rate", "probe-port", "webhook-port", "bind-address",
        "webhook-service", "webhook-configuration", "webhook-secret", "cluster-domain", "certificate-dir",
        "log-level", "log-format",
    ]
}
