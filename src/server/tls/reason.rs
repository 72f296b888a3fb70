//! What went wrong with TLS, as a sentence. rustls says it in names of its own (`received fatal alert: UnknownCA`).

use rustls::pki_types::pem;
use rustls::{AlertDescription, CertificateError, Error};
use std::fmt::Debug;

/// Why TLS with a client failed.
pub(super) fn sentence(error: &Error) -> String {
    match error {
        Error::AlertReceived(alert) => alerted(*alert),
        Error::NoCertificatesPresented => {
            "the client has no certificate, which client_ca demands".into()
        }
        Error::InvalidCertificate(error) => {
            format!(
                "the client's certificate is refused: {}",
                certificate(error)
            )
        }
        Error::NoApplicationProtocol => {
            "the client offers application protocols, but not http/1.1".into()
        }
        Error::PeerIncompatible(reason) => {
            format!("client and server have no TLS in common: {}", words(reason))
        }
        Error::PeerMisbehaved(reason) => format!("the client breaks the rules: {}", words(reason)),
        Error::InvalidMessage(reason) => {
            format!("the client sent something wrong: {}", words(reason))
        }
        Error::InappropriateMessage { got_type: kind, .. } => unexpected(kind),
        Error::InappropriateHandshakeMessage { got_type: kind, .. } => unexpected(kind),
        Error::DecryptError => "the client sent a record that can't be decrypted".into(),
        Error::PeerSentOversizedRecord => "the client sent a record that is too long".into(),
        Error::FailedToGetRandomBytes => "the system has no randomness".into(),
        Error::General(reason) => reason.clone(),
        error => words(error),
    }
}

fn unexpected(kind: &dyn Debug) -> String {
    format!(
        "the client sent a message of a kind that does not fit here: {}",
        words(kind)
    )
}

/// What a client says about the server (RFC 8446 section 6.2).
fn alerted(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let reason = match alert {
        A::UnknownCA => "it does not know the authority of the server's certificate",
        A::CertificateExpired => "the server's certificate has expired",
        A::CertificateRevoked => "the server's certificate is revoked",
        A::BadCertificate | A::CertificateUnknown | A::UnsupportedCertificate => {
            "it does not accept the server's certificate"
        }
        A::HandshakeFailure | A::InsufficientSecurity => "it finds nothing that both can do",
        A::ProtocolVersion => "it does not speak this version",
        A::UserCanceled => "it has changed its mind",
        _ => "it ends the connection",
    };
    let name = words(&alert).replace(' ', "_");
    format!("the client refuses: {reason} (alert {name})")
}

/// What is wrong with a certificate.
pub(super) fn certificate(error: &CertificateError) -> String {
    use CertificateError as C;
    match error {
        C::Expired | C::ExpiredContext { .. } => "it has expired".into(),
        C::NotValidYet | C::NotValidYetContext { .. } => "it is not valid yet".into(),
        C::UnknownIssuer => "it comes from none of the authorities in client_ca".into(),
        C::BadSignature => "its signature is wrong".into(),
        C::BadEncoding => "it is no correct X.509".into(),
        C::UnhandledCriticalExtension => {
            "it has a critical extension that is not understood here".into()
        }
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => "it is not made for clients".into(),
        C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way that is not supported".into()
        }
        C::Other(error) => match error.to_string() {
            error if error == "UnsupportedCertVersion" => "it is not of version 3 of X.509".into(),
            error => split(&error),
        },
        error => words(error),
    }
}

/// What is wrong with a PEM file.
pub(super) fn not_pem(error: &pem::Error) -> String {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii()).into_owned();
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("its -----END {}----- is missing", lossy(end_marker))
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("the line {:?} begins nothing", lossy(line))
        }
        pem::Error::Base64Decode(_) => "what it has is not in Base64".into(),
        error => error.to_string(),
    }
}

/// A name in Rust as words, in lower case.
fn words(name: &dyn Debug) -> String {
    split(&format!("{name:?}"))
}

/// `KeyEpochWithPendingFragment` is "key epoch with pending fragment", `MissingData("X")` is "missing data: X".
fn split(name: &str) -> String {
    let (name, detail) = name.split_once('(').unwrap_or((name, ""));
    let mut words = String::new();
    let letters: Vec<char> = name.chars().collect();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| letters[before]);
        let begins = letter.is_uppercase()
            && (before.is_some_and(|before| before.is_lowercase() || before.is_ascii_digit())
                || before.is_some_and(char::is_uppercase)
                    && letters
                        .get(index + 1)
                        .is_some_and(|next| next.is_lowercase()));
        if begins {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    let words = words
        .replace("tls12", "TLS 1.2")
        .replace("tls13", "TLS 1.3");
    match detail.trim_end_matches(')').trim_matches('"') {
        "" => words,
        detail => format!("{words}: {detail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved};
    use std::sync::Arc;

    #[test]
    fn a_name_becomes_words() {
        for (error, text) in [
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                "the client refuses: it does not know the authority of the server's certificate (alert unknown_ca)",
            ),
            (
                Error::AlertReceived(AlertDescription::UnknownPSKIdentity),
                "the client refuses: it ends the connection (alert unknown_psk_identity)",
            ),
            (
                PeerMisbehaved::KeyEpochWithPendingFragment.into(),
                "the client breaks the rules: key epoch with pending fragment",
            ),
            (
                PeerIncompatible::Tls12NotOfferedOrEnabled.into(),
                "client and server have no TLS in common: TLS 1.2 not offered or enabled",
            ),
            (
                InvalidMessage::MissingData("KeyShare").into(),
                "the client sent something wrong: missing data: KeyShare",
            ),
            (
                CertificateError::Other(OtherError(Arc::new(Error::EncryptError))).into(),
                "the client's certificate is refused: cannot encrypt message",
            ),
            (Error::BadMaxFragmentSize, "bad max fragment size"),
        ] {
            assert_eq!(sentence(&error), text);
        }
    }
}
