//! X-Wing: ML-KEM-768 and X25519 together, secure as long as one of them is.
//!
//! Specification: draft-connolly-cfrg-xwing-kem, "X-Wing: general-purpose hybrid post-quantum KEM".

use hpke::generic_array::GenericArray;
use hpke::generic_array::typenum::{Sum, U32, U96, U192, U1024};
use hpke::kem::SharedSecret;
use hpke::rand_core::{CryptoRng, RngCore};
use hpke::{Deserializable, HpkeError, Serializable};
use ml_kem::kem::{Decapsulate, Encapsulate};
use ml_kem::{Ciphertext, Encoded, EncodedSizeUser, KemCore, MlKem768};
use sha3::digest::{ExtendableOutput, Update, XofReader};
use sha3::{Digest, Sha3_256, Shake256};
use x25519_dalek::{PublicKey as Point, StaticSecret};
use zeroize::Zeroizing;

/// Comes last in the final hash: the specification's drawing of an X-wing.
const LABEL: &[u8] = br"\.//^\";

/// Length of an X25519 public key in bytes.
const POINT: usize = 32;

/// ML-KEM's public key.
type EncapsulationKey = <MlKem768 as KemCore>::EncapsulationKey;

/// ML-KEM's private key.
type DecapsulationKey = <MlKem768 as KemCore>::DecapsulationKey;

/// The key encapsulation.
pub struct XWing;

/// A private key: the seed, and what is derived from it, once for all that it decrypts.
#[derive(Clone)]
pub struct PrivateKey {
    seed: Zeroizing<[u8; 32]>,
    /// On the heap, where it is wiped: a copy on the stack would stay there.
    parts: Box<Parts>,
}

/// The parts of a private key.
#[derive(Clone)]
struct Parts {
    lattice: DecapsulationKey,
    secret: StaticSecret,
    point: Point,
}

/// A public key.
#[derive(Clone, Debug, PartialEq)]
pub struct PublicKey {
    lattice: EncapsulationKey,
    point: Point,
}

impl Eq for PublicKey {}

/// An encapsulated key, which the sender puts into the stanza.
#[derive(Clone)]
pub struct Encapsulated {
    lattice: Ciphertext<MlKem768>,
    point: Point,
}

impl PrivateKey {
    /// Derives the parts from the seed.
    pub(super) fn new(seed: Zeroizing<[u8; 32]>) -> Self {
        let mut reader = Shake256::default().chain(*seed).finalize_xof();
        let mut next = || {
            let mut part = Zeroizing::new([0; 32]);
            reader.read(&mut *part);
            part
        };
        let (d, z, scalar) = (next(), next(), next());
        let (lattice, _) = MlKem768::generate_deterministic(&(*d).into(), &(*z).into());
        let secret = StaticSecret::from(*scalar);
        let point = Point::from(&secret);
        Self { seed, parts: Box::new(Parts { lattice, secret, point }) }
    }

    /// Returns the seed.
    pub(super) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        self.seed == other.seed
    }
}

impl Eq for PrivateKey {}

impl Serializable for PrivateKey {
    type OutputSize = U32;

    fn write_exact(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&*self.seed);
    }
}

impl Deserializable for PrivateKey {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        let seed = bytes.try_into().map_err(|_| HpkeError::ValidationError)?;
        Ok(Self::new(Zeroizing::new(seed)))
    }
}

impl Serializable for PublicKey {
    type OutputSize = Sum<U1024, U192>;

    fn write_exact(&self, bytes: &mut [u8]) {
        write_both(bytes, &self.lattice.as_bytes(), &self.point);
    }
}

impl Deserializable for PublicKey {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        let (encoded, point) = split(bytes)?;
        let encoded = Encoded::<EncapsulationKey>::try_from(encoded)
            .map_err(|_| HpkeError::ValidationError)?;
        let lattice = EncapsulationKey::from_bytes(&encoded);
        // Decoding reduces numbers above the modulus; FIPS 203, 7.2, requires that they are
        // refused.
        if lattice.as_bytes() != encoded {
            return Err(HpkeError::ValidationError);
        }
        // Any secret will do: with a point of low order, all of them give zero.
        if !StaticSecret::from([0; POINT]).diffie_hellman(&point).was_contributory() {
            return Err(HpkeError::ValidationError);
        }
        Ok(Self { lattice, point })
    }
}

impl Serializable for Encapsulated {
    type OutputSize = Sum<U1024, U96>;

    fn write_exact(&self, bytes: &mut [u8]) {
        write_both(bytes, &self.lattice, &self.point);
    }
}

impl Deserializable for Encapsulated {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        let (lattice, point) = split(bytes)?;
        let lattice = lattice.try_into().map_err(|_| HpkeError::ValidationError)?;
        Ok(Self { lattice, point })
    }
}

/// Writes the part of ML-KEM, then that of X25519.
fn write_both(bytes: &mut [u8], lattice: &[u8], point: &Point) {
    let both = lattice.iter().chain(point.as_bytes());
    bytes.iter_mut().zip(both).for_each(|(to, from)| *to = *from);
}

/// Splits the point off the end.
fn split(bytes: &[u8]) -> Result<(&[u8], Point), HpkeError> {
    let (lattice, point) = bytes.split_last_chunk::<POINT>().ok_or(HpkeError::ValidationError)?;
    Ok((lattice, Point::from(*point)))
}

/// Derives the shared secret from those of both, and from the points that X25519 used: ML-KEM
/// hashes its own inputs.
fn combine(
    lattice: &[u8],
    secret: &StaticSecret,
    other: &Point,
    sent: &Point,
    public: &Point,
) -> Option<SharedSecret<XWing>> {
    let shared = secret.diffie_hellman(other);
    // A point of low order would make X25519's part the same for everyone.
    shared.was_contributory().then(|| {
        let hash = Digest::chain_update(Sha3_256::new(), lattice)
            .chain_update(shared.as_bytes())
            .chain_update(sent.as_bytes())
            .chain_update(public.as_bytes())
            .chain_update(LABEL);
        let bytes: [u8; 32] = hash.finalize().into();
        SharedSecret(GenericArray::from(bytes))
    })
}

impl hpke::Kem for XWing {
    type PublicKey = PublicKey;
    type PrivateKey = PrivateKey;
    type EncappedKey = Encapsulated;
    type NSecret = U32;

    const KEM_ID: u16 = 0x647a;

    fn sk_to_pk(private: &PrivateKey) -> PublicKey {
        let parts = &private.parts;
        PublicKey { lattice: parts.lattice.encapsulation_key().clone(), point: parts.point }
    }

    /// Required by the trait, but unused: age's keys are the seeds themselves.
    fn derive_keypair(material: &[u8]) -> (PrivateKey, PublicKey) {
        let mut seed = Zeroizing::new([0; 32]);
        Shake256::default().chain(material).finalize_xof().read(&mut *seed);
        let private = PrivateKey::new(seed);
        let public = Self::sk_to_pk(&private);
        (private, public)
    }

    fn decap(
        private: &PrivateKey,
        sender: Option<&PublicKey>,
        sent: &Encapsulated,
    ) -> Result<SharedSecret<Self>, HpkeError> {
        let Parts { lattice, secret, point } = &*private.parts;
        let shared = lattice.decapsulate(&sent.lattice).map_err(|()| HpkeError::DecapError)?;
        combine(&shared, secret, &sent.point, &sent.point, point)
            .filter(|_| sender.is_none()) // Authenticated modes are not supported.
            .ok_or(HpkeError::DecapError)
    }

    fn encap<R: CryptoRng + RngCore>(
        public: &PublicKey,
        sender: Option<(&PrivateKey, &PublicKey)>,
        random: &mut R,
    ) -> Result<(SharedSecret<Self>, Encapsulated), HpkeError> {
        let (ciphertext, lattice) =
            public.lattice.encapsulate(random).map_err(|()| HpkeError::EncapError)?;
        let secret = StaticSecret::random_from_rng(random);
        let point = Point::from(&secret);
        combine(&lattice, &secret, &public.point, &point, &public.point)
            .filter(|_| sender.is_none()) // The same.
            .map(|shared| (shared, Encapsulated { lattice: ciphertext, point }))
            .ok_or(HpkeError::EncapError)
    }
}
