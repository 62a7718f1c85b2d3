// Package apiserver only makes cmd/kube-apiserver part of this module's import graph: that is what is built.
package apiserver

import _ "k8s.io/kubernetes/cmd/kube-apiserver/app"
