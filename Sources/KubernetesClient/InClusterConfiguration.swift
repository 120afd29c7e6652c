extension ClientConfiguration {
    /// The configuration of a pod: the address from the environment, CA and token from the service account's folder
    /// (kubernetes.io/docs, "Accessing the Kubernetes API from a Pod").
    package static func inCluster(
        environment: [String: String], root: String = "/var/run/secrets/kubernetes.io/serviceaccount"
    ) throws(ConfigurationError) -> ClientConfiguration {
        func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        guard let host = variable("KUBERNETES_SERVICE_HOST") else {
            throw ConfigurationError(
                .invalid, "KUBERNETES_SERVICE_HOST is not set: this process does not run in a pod; give a kubeconfig")
        }
        guard ServerAddress.isHostName(host) || ServerAddress.isIPv6(host) else {
            throw ConfigurationError(.invalid, "KUBERNETES_SERVICE_HOST: \"\(host)\" is neither a name nor an address")
        }
        let portName =
            variable("KUBERNETES_SERVICE_PORT_HTTPS") == nil
            ? "KUBERNETES_SERVICE_PORT" : "KUBERNETES_SERVICE_PORT_HTTPS"
        guard let port = ServerAddress.port(variable(portName) ?? "443") else {
            throw ConfigurationError(.invalid, "\(portName): \"\(variable(portName) ?? "")\" is no port")
        }
        let caPath = "\(root)/ca.crt"
        let tokenPath = "\(root)/token"
        return ClientConfiguration(
            server: ServerAddress(host: host, port: port),
            caPEM: try Credentials.certificates(FileContents.read(caPath), source: caPath),
            token: try Credentials.token(FileContents.read(tokenPath), source: tokenPath),
            tokenFile: tokenPath)
    }
}
