@main enum KubectlBerth { static func main() {} }
